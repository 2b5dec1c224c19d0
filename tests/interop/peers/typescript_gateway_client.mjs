// The TypeScript SDK as a client of many servers; the command line is that of `mcp_gateway_client.py`.

import { parseArgs } from 'node:util';

import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const { values: given } = parseArgs({
    options: {
        command: { type: 'string' },
        calls: { type: 'string' },
        probe: { type: 'boolean', default: false }
    }
});
const [command, ...args] = JSON.parse(given.command);
const client = new Client(
    { name: 'peer', version: '1.0.0' },
    { versionNegotiation: { mode: given.probe ? 'auto' : 'legacy' } }
);
await client.connect(new StdioClientTransport({ command, args, env: process.env }));
const came = { revision: client.getNegotiatedProtocolVersion(), texts: {} };
came.tools = (await client.listTools()).tools.map(tool => tool.name);
for (const [tool, what] of JSON.parse(given.calls)) {
    const result = await client.callTool({ name: tool, arguments: what });
    came.texts[tool] = result.content.map(block => block.text ?? '').join('\n');
}
await client.close();
process.stdout.write(`${JSON.stringify(came)}\n`);
process.exit(0);
