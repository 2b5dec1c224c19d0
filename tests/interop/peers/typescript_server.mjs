// The TypeScript SDK as a server: `typescript_server.mjs stdio` or `typescript_server.mjs http PORT`.
//
// Written with its public API, as its own documentation teaches it: one factory; over HTTP a strict handler for the
// stateless era, and a transport with sessions behind the same path for clients of the stateful one.

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

import { NodeStreamableHTTPServerTransport, toNodeHandler, toWebRequest } from '@modelcontextprotocol/node';
import {
    acceptedContent,
    completable,
    createMcpHandler,
    inputRequired,
    inputResponse,
    isInitializeRequest,
    isLegacyRequest,
    McpServer,
    ProtocolError,
    ProtocolErrorCode,
    ResourceTemplate
} from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import * as z from 'zod/v4';

const NOTE = 'note://a';
const cancelled = new Map();
let published = server => {
    server.sendToolListChanged();
    return server.server.sendResourceUpdated({ uri: NOTE });
};

const text = value => ({ content: [{ type: 'text', text: value }] });

// What was cancelled: a promise for each key, and the function that keeps it.
const cancellation = key => {
    if (!cancelled.has(key)) {
        const entry = {};
        entry.promise = new Promise(resolve => (entry.resolve = resolve));
        cancelled.set(key, entry);
    }
    return cancelled.get(key);
};

const slow = async ({ key }, ctx) => {
    const progressToken = ctx.mcpReq._meta?.progressToken;
    for (const progress of [1, 2, 3]) {
        if (progressToken !== undefined) {
            const params = { progressToken, progress, total: 3, message: `part ${progress}` };
            await ctx.mcpReq.notify({ method: 'notifications/progress', params });
        }
    }
    const { signal } = ctx.mcpReq;
    if (!signal.aborted) await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }));
    cancellation(key).resolve();
    return text('cancelled');
};

const wasCancelled = async ({ key }) => {
    let timer;
    const late = new Promise(resolve => (timer = setTimeout(resolve, 3000, 'no')));
    const answer = await Promise.race([cancellation(key).promise.then(() => 'yes'), late]);
    clearTimeout(timer);
    return text(answer);
};

const nameSchema = z.object({ name: z.string() });

const ask = async (_args, ctx) => {
    const given = acceptedContent(ctx.mcpReq.inputResponses, 'name', nameSchema);
    if (given !== undefined) return text(`Hello, ${given.name}`);
    return inputRequired({
        inputRequests: { name: inputRequired.elicit({ message: 'What is your name?', requestedSchema: nameSchema }) }
    });
};

const think = async (_args, ctx) => {
    const said = inputResponse(ctx.mcpReq.inputResponses, 'model');
    if (said.kind === 'sampling') return text(`The model says ${said.result.content.text}`);
    const messages = [{ role: 'user', content: { type: 'text', text: 'What is two and two?' } }];
    return inputRequired({ inputRequests: { model: inputRequired.createMessage({ messages, maxTokens: 100 }) } });
};

// The person first, then the model: the name travels in the state meanwhile.
const both = async (args, ctx) => {
    const said = inputResponse(ctx.mcpReq.inputResponses, 'model');
    if (said.kind === 'sampling') return text(`${ctx.mcpReq.requestState()} hears ${said.result.content.text}`);
    const given = acceptedContent(ctx.mcpReq.inputResponses, 'name', nameSchema);
    if (given === undefined) return ask(args, ctx);
    const messages = [{ role: 'user', content: { type: 'text', text: 'What is two and two?' } }];
    return inputRequired({
        inputRequests: { model: inputRequired.createMessage({ messages, maxTokens: 100 }) },
        requestState: given.name
    });
};

const where = async (_args, ctx) => {
    const found = inputResponse(ctx.mcpReq.inputResponses, 'roots');
    if (found.kind === 'roots') return text(found.roots.map(root => root.uri).join(' '));
    return inputRequired({ inputRequests: { roots: inputRequired.listRoots() } });
};

const build = ({ era }) => {
    const server = new McpServer(
        { name: 'peer', version: '1.0.0' },
        { capabilities: { resources: { subscribe: true, listChanged: true }, tools: { listChanged: true }, logging: {} } }
    );
    const none = z.object({});
    const key = z.object({ key: z.string() });
    const pair = z.object({ a: z.number(), b: z.number() });
    server.registerTool('add', { inputSchema: pair }, async ({ a, b }) => text(String(a + b)));
    server.registerTool('fail', { inputSchema: none }, async () => {
        throw new Error('no luck today');
    });
    server.registerTool('slow', { inputSchema: key }, slow);
    server.registerTool('was_cancelled', { inputSchema: key }, wasCancelled);
    server.registerTool('tell', { inputSchema: none }, async (_args, ctx) => {
        await ctx.mcpReq.log('warning', 'something is odd');
        return text('told');
    });
    server.registerTool('ask', { inputSchema: none }, ask);
    server.registerTool('think', { inputSchema: none }, think);
    server.registerTool('both', { inputSchema: none }, both);
    server.registerTool('where', { inputSchema: none }, where);
    server.registerTool('touch', { inputSchema: none }, async () => {
        await published(server, era);
        return text('touched');
    });
    server.registerResource('a', NOTE, {}, async uri => ({ contents: [{ uri: uri.href, text: 'first note' }] }));
    const by = new ResourceTemplate('note://by/{name}', { list: undefined });
    server.registerResource('by', by, {}, async (uri, { name }) => ({
        contents: [{ uri: uri.href, text: `note by ${name}` }]
    }));
    const begun = value => ['Ada', 'Alan', 'Grace'].filter(name => name.startsWith(value));
    const argsSchema = z.object({ name: completable(z.string(), begun) });
    server.registerPrompt('greet', { argsSchema }, async ({ name }) => ({
        messages: [{ role: 'user', content: { type: 'text', text: `Greet ${name}` } }]
    }));
    if (era === 'legacy') {
        const watched = new Set();
        server.server.setRequestHandler('resources/subscribe', request => {
            if (request.params.uri !== NOTE) throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'no such note');
            watched.add(request.params.uri);
            return {};
        });
        server.server.setRequestHandler('resources/unsubscribe', request => {
            watched.delete(request.params.uri);
            return {};
        });
    }
    return server;
};

const serveHttp = port => {
    const modern = createMcpHandler(build, { legacy: 'reject' });
    const modernNode = toNodeHandler(modern);
    const pushed = published;
    published = (server, era) => {
        if (era === 'legacy') return pushed(server);
        modern.notify.toolsChanged();
        modern.notify.resourceUpdated(NOTE);
    };
    const sessions = new Map();
    const legacy = async (req, res, body) => {
        const id = req.headers['mcp-session-id'];
        if (id && sessions.has(id)) return sessions.get(id).handleRequest(req, res, body);
        if (id || !isInitializeRequest(body)) {
            res.writeHead(id ? 404 : 400, { 'content-type': 'application/json' });
            return res.end(JSON.stringify({ jsonrpc: '2.0', error: { code: -32000, message: 'no session' }, id: null }));
        }
        const transport = new NodeStreamableHTTPServerTransport({
            sessionIdGenerator: () => randomUUID(),
            onsessioninitialized: session => sessions.set(session, transport)
        });
        transport.onclose = () => sessions.delete(transport.sessionId);
        await build({ era: 'legacy' }).connect(transport);
        return transport.handleRequest(req, res, body);
    };
    const handle = async (req, res) => {
        if (req.method !== 'POST') return legacy(req, res);
        const chunks = [];
        for await (const chunk of req) chunks.push(chunk);
        const body = JSON.parse(Buffer.concat(chunks).toString('utf8'));
        const isLegacy = await isLegacyRequest(await toWebRequest(req, body), body);
        return isLegacy ? legacy(req, res, body) : modernNode(req, res, body);
    };
    createServer((req, res) => {
        handle(req, res).catch(error => {
            console.error(error);
            if (!res.headersSent) res.writeHead(500);
            res.end();
        });
    }).listen(port, '127.0.0.1');
};

if (process.argv[2] === 'http') serveHttp(Number(process.argv[3]));
else serveStdio(build);
