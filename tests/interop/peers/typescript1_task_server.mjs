// Version 1 of the TypeScript SDK as a server with tasks of 2025-11-25: `typescript1_task_server.mjs stdio`, or `http PORT`.
//
// Written with `server.experimental.tasks`, as its own documentation teaches it: each tool makes its task, and says itself
// how it goes on.

import { randomUUID } from 'node:crypto';

import { InMemoryTaskMessageQueue, InMemoryTaskStore } from '@modelcontextprotocol/sdk/experimental/tasks';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { CreateTaskResultSchema, ElicitResultSchema, GetTaskResultSchema } from '@modelcontextprotocol/sdk/types.js';
import express from 'express';
import * as z from 'zod/v4';

const FORM = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] };
const QUESTION = { method: 'elicitation/create', params: { mode: 'form', message: 'What is your name?', requestedSchema: FORM } };
const ENDED = ['completed', 'failed', 'cancelled'];
const taskStore = new InMemoryTaskStore();
const taskMessageQueue = new InMemoryTaskMessageQueue();
const text = (value, isError = false) => ({ content: [{ type: 'text', text: value }], ...(isError ? { isError } : {}) });
const pause = () => new Promise(resolve => setTimeout(resolve, 20));

// What happened: a promise for each name, and the function that keeps it.
const events = new Map();
const event = name => {
    if (!events.has(name)) {
        const entry = {};
        entry.promise = new Promise(resolve => (entry.resolve = resolve));
        events.set(name, entry);
    }
    return events.get(name);
};

const build = () => {
    const server = new McpServer(
        { name: 'peer', version: '1.0.0' },
        {
            taskStore,
            taskMessageQueue,
            capabilities: { tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } }
        }
    );

    // A tool whose calls are tasks; `run` gets the arguments and what its task is told by.
    const tasked = (name, taskSupport, inputSchema, run) =>
        server.experimental.tasks.registerToolTask(
            name,
            { inputSchema, execution: { taskSupport } },
            {
                async createTask(args, extra) {
                    const task = await extra.taskStore.createTask({ ttl: 60_000, pollInterval: 100 });
                    void (async () => {
                        const came = await run(args, task.taskId, extra);
                        if (came !== undefined) {
                            await extra.taskStore.storeTaskResult(task.taskId, came.isError ? 'failed' : 'completed', came);
                        }
                    })().catch(error => console.error(error));
                    return { task };
                },
                getTask: async (_args, extra) => extra.taskStore.getTask(extra.taskId),
                getTaskResult: async (_args, extra) => extra.taskStore.getTaskResult(extra.taskId)
            }
        );

    const keyed = { key: z.string() };
    tasked('work', 'optional', keyed, async ({ key }, id, extra) => {
        await extra.taskStore.updateTaskStatus(id, 'working', 'half way');
        const { progressToken } = extra._meta ?? {};
        if (progressToken !== undefined) {
            const params = { progressToken, progress: 1, total: 2, message: 'half way' };
            const told = { relatedTask: { taskId: id } };
            await server.server.notification({ method: 'notifications/progress', params }, told);
        }
        await event(`released ${key}`).promise;
        return text(`done ${key}`);
    });
    tasked('fail', 'required', {}, async () => text('no luck today', true));
    tasked('ask', 'required', {}, async (_args, id, extra) => {
        await extra.taskStore.updateTaskStatus(id, 'input_required');
        const answer = await extra.sendRequest(QUESTION, ElicitResultSchema, { relatedTask: { taskId: id } });
        await extra.taskStore.updateTaskStatus(id, 'working');
        return text(`Hello, ${answer.content?.name}`);
    });
    tasked('endless', 'required', keyed, async ({ key }, id, extra) => {
        await extra.taskStore.updateTaskStatus(id, 'working', 'begun');
        while (!ENDED.includes((await taskStore.getTask(id)).status)) await pause();
        event(`cancelled ${key}`).resolve();
    });

    server.registerTool('release', { inputSchema: keyed }, async ({ key }) => {
        event(`released ${key}`).resolve();
        return text('released');
    });
    server.registerTool('was_cancelled', { inputSchema: keyed }, async ({ key }) => {
        let timer;
        const late = new Promise(resolve => (timer = setTimeout(resolve, 3000, 'no')));
        const answer = await Promise.race([event(`cancelled ${key}`).promise.then(() => 'yes'), late]);
        clearTimeout(timer);
        return text(answer);
    });
    server.registerTool('put_off', {}, async extra => {
        const asked = { ...QUESTION, params: { ...QUESTION.params, task: { ttl: 60_000 } } };
        const { task } = await extra.sendRequest(asked, CreateTaskResultSchema);
        const about = { taskId: task.taskId };
        let { status } = task;
        while (!ENDED.includes(status)) {
            await pause();
            ({ status } = await extra.sendRequest({ method: 'tasks/get', params: about }, GetTaskResultSchema));
        }
        const answer = await extra.sendRequest({ method: 'tasks/result', params: about }, ElicitResultSchema);
        return text(`Hello, ${answer.content?.name}`);
    });
    return server;
};

const overHttp = port => {
    const transports = new Map();
    const app = express();
    app.use(express.json());
    app.all('/mcp', async (req, res) => {
        const known = transports.get(req.headers['mcp-session-id']);
        if (known) return known.handleRequest(req, res, req.body);
        const transport = new StreamableHTTPServerTransport({
            sessionIdGenerator: randomUUID,
            onsessioninitialized: id => transports.set(id, transport)
        });
        await build().connect(transport);
        return transport.handleRequest(req, res, req.body);
    });
    app.listen(port, '127.0.0.1');
};

const [, , transport, port] = process.argv;
if (transport === 'http') overHttp(Number(port));
else await build().connect(new StdioServerTransport());
