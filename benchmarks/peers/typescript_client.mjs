// The measured client, with the TypeScript SDK: typescript_client.mjs http|memory URL WARM RUN; see clients.

import { Client, InMemoryTransport, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { McpServer } from '@modelcontextprotocol/server';
import * as z from 'zod/v4';

const [how, where, warm, run] = process.argv.slice(2);

const calls = async (client, seconds) => {
    const cpu = process.cpuUsage();
    const began = performance.now();
    let count = 0;
    while (performance.now() - began < seconds * 1000) {
        const result = await client.callTool({ name: 'add', arguments: { a: 1, b: 2 } });
        if (result.isError || result.content[0].text !== '3') throw new Error(`a wrong answer: ${JSON.stringify(result)}`);
        count += 1;
    }
    const used = process.cpuUsage(cpu);
    return { count, seconds: (performance.now() - began) / 1000, cpu: (used.user + used.system) / 1e6 };
};

const server = () => {
    const made = new McpServer({ name: 'measured', version: '1' });
    const config = {
        description: 'Add two numbers.',
        inputSchema: z.object({ a: z.number().int(), b: z.number().int() }),
        outputSchema: z.object({ result: z.number().int() })
    };
    made.registerTool('add', config, async ({ a, b }) => ({
        content: [{ type: 'text', text: String(a + b) }],
        structuredContent: { result: a + b }
    }));
    return made;
};

const client = new Client({ name: 'measured', version: '1' }, { versionNegotiation: { mode: 'auto' } });
if (how === 'memory') {
    const [mine, theirs] = InMemoryTransport.createLinkedPair();
    await server().connect(theirs);
    await client.connect(mine);
} else {
    await client.connect(new StreamableHTTPClientTransport(new URL(where)));
}
await calls(client, Number(warm));
process.stdout.write(`${JSON.stringify(await calls(client, Number(run)))}\n`);
await client.close();
