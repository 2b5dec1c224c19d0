// The measured server, with the TypeScript SDK on Node's own HTTP server. For the words see contestants.py.

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node';
import { acceptedContent, createMcpHandler, inputRequired, McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import * as z from 'zod/v4';

const [transport, kit, mode, tools, port] = process.argv.slice(2);
const LIMIT = 16 * 1024 * 1024;
const NOTE = 'note://a';
let handler;

const text = value => ({ content: [{ type: 'text', text: value }] });
const value = number => ({ ...text(String(number)), structuredContent: { result: number } });

const number = z.object({ result: z.number().int() });
const pair = z.object({ a: z.number().int(), b: z.number().int() });
const item = z.object({
    id: z.number().int(),
    name: z.string(),
    price: z.number(),
    quantity: z.number().int(),
    active: z.boolean(),
    kind: z.enum(['small', 'large']),
    tags: z.array(z.string()),
    ratio: z.number(),
    note: z.string().nullable().default(null),
    code: z.string().default('')
});
const items = z.object({ items: z.array(item) });
const size = z.object({ size: z.number().int() });
const taken = z.object({ text: z.string() });
const none = z.object({});
const nameSchema = z.object({ name: z.string() });

const tool = (server, name, description, inputSchema, outputSchema, fn) =>
    server.registerTool(name, { description, inputSchema, ...(outputSchema && { outputSchema }) }, fn);

const addTo = server => tool(server, 'add', 'Add two numbers.', pair, number, async ({ a, b }) => value(a + b));

const report = async (_args, ctx) => {
    const progressToken = ctx.mcpReq._meta?.progressToken;
    for (let progress = 1; progress <= 100; progress++) {
        await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
    }
    return text('done');
};

const ask = async (_args, ctx) => {
    const given = acceptedContent(ctx.mcpReq.inputResponses, 'name', nameSchema);
    if (given !== undefined) return text(`Hello, ${given.name}`);
    return inputRequired({
        inputRequests: { name: inputRequired.elicit({ message: 'What is your name?', requestedSchema: nameSchema }) }
    });
};

const KITS = {
    calls: server => {
        addTo(server);
        const words = 'Do something else with two numbers, which nobody will ask for.';
        for (let at = 1; at < Number(tools); at++) {
            const name = `tool_${String(at).padStart(5, '0')}`;
            tool(server, name, words, pair, number, async ({ a, b }) => value(a - b));
        }
    },
    nested: server => {
        const sum = async ({ items }) => value(items.reduce((total, { quantity }) => total + quantity, 0));
        tool(server, 'nested_model', 'Sum the quantities.', items, number, sum);
    },
    large: server => {
        tool(server, 'make', 'Make a text of so many letters.', size, null, async ({ size }) => text('x'.repeat(size)));
        tool(server, 'take', 'Count the letters of a text.', taken, number, async ({ text }) => value(text.length));
    },
    streams: server => {
        addTo(server);
        tool(server, 'report', 'Report progress a hundred times.', none, null, report);
        tool(server, 'ask', 'Greet whoever answers.', none, null, ask);
        tool(server, 'touch', 'Say that the note was updated.', none, null, async () => {
            handler.notify.resourceUpdated(NOTE);
            return text('touched');
        });
        server.registerResource('a', NOTE, {}, async uri => ({ contents: [{ uri: uri.href, text: 'first note' }] }));
    }
};

const build = () => {
    const capabilities = { tools: {}, ...(kit === 'streams' && { resources: { subscribe: true } }) };
    const server = new McpServer({ name: 'measured', version: '1' }, { capabilities });
    KITS[kit](server);
    return server;
};

// An event log as the contract has it, kept in memory: the last thousand events.
class EventLog {
    #events = new Map();
    #last = 0;

    async storeEvent(streamId, message) {
        const id = `${streamId}_${++this.#last}`;
        this.#events.set(id, { streamId, message });
        if (this.#events.size > 1000) this.#events.delete(this.#events.keys().next().value);
        return id;
    }

    async getStreamIdForEventId(id) {
        return this.#events.get(id)?.streamId;
    }

    async replayEventsAfter(lastEventId, { send }) {
        const streamId = this.#events.get(lastEventId)?.streamId;
        let after = false;
        for (const [id, event] of this.#events) {
            if (after && event.streamId === streamId) await send(id, event.message);
            if (id === lastEventId) after = true;
        }
        return streamId;
    }
}

const serveSessions = () => {
    const sessions = new Map();
    const options = mode === 'json' ? { enableJsonResponse: true } : mode === 'sse' ? { eventStore: new EventLog() } : {};
    return async (req, res) => {
        const known = sessions.get(req.headers['mcp-session-id']);
        if (known) return known.handleRequest(req, res);
        const transport = new NodeStreamableHTTPServerTransport({
            sessionIdGenerator: () => randomUUID(),
            onsessioninitialized: session => sessions.set(session, transport),
            ...options
        });
        transport.onclose = () => sessions.delete(transport.sessionId);
        await build().connect(transport);
        return transport.handleRequest(req, res);
    };
};

// Stateless, in revision 2025-11-25: a transport and a server for each request, as the documentation has it.
const servePlain = () => async (req, res) => {
    const transport = new NodeStreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
    await build().connect(transport);
    return transport.handleRequest(req, res);
};

const serveAlone = () => {
    handler = createMcpHandler(build, { maxRequestBodySize: LIMIT });
    return toNodeHandler(handler, { maxRequestBodySize: LIMIT });
};

if (transport === 'stdio') {
    serveStdio(build);
} else {
    const handle = mode === 'default' ? serveAlone() : mode === 'plain' ? servePlain() : serveSessions();
    createServer((req, res) => {
        Promise.resolve(handle(req, res)).catch(error => {
            console.error(error);
            if (!res.headersSent) res.writeHead(500);
            res.end();
        });
    }).listen(Number(port), '127.0.0.1');
}
