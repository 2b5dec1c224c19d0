// The official client of tasks for TypeScript, `@modelcontextprotocol/ext-tasks`, on version 2 of the SDK: it has the tasks
// of 2025-11-25 and those of the extension. The command line and the lines it prints are those of `stepping.py`:
// --url URL or --command JSON, --transport, --revision, --probe, --steps; a line of JSON for each step.
//
// Written with its public API, as its own documentation teaches it. Of the extension's requests it leaves the sending to
// its host, since the SDK reads no such results: that is `dispatch`, over HTTP.

import { parseArgs } from 'node:util';

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import {
    createTaskSessionFromClient,
    resultFromTaskOutcome,
    TaskCancelledError,
    toolDeclarationFromMcpTool
} from '@modelcontextprotocol/ext-tasks/client';

const STEP_MS = 10_000;
const CONNECT_MS = 20_000;
const NAME = 'Ada';
const INFO = { name: 'peer', version: '1.0.0' };
const CAPABILITIES = { elicitation: { form: {} } };
const STEPS = 'call,start,progress,error,failed,ask,question,cancel,unknown,listed';

const { values: given } = parseArgs({
    options: {
        url: { type: 'string' },
        command: { type: 'string' },
        transport: { type: 'string' },
        revision: { type: 'string' },
        probe: { type: 'boolean', default: false },
        steps: { type: 'string', default: STEPS }
    }
});

const say = (step, works, detail) =>
    process.stdout.write(`${JSON.stringify({ step, works, detail: String(detail).slice(0, 600) })}\n`);

// The promise, or an error that says so when it takes too long.
const within = (promise, ms, what) => {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${what}: nothing came within ${ms} ms`)), ms);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

const expect = (seen, wanted) => {
    if (JSON.stringify(seen) !== JSON.stringify(wanted)) {
        throw new Error(`saw ${JSON.stringify(seen)} and not ${JSON.stringify(wanted)}`);
    }
    return JSON.stringify(seen);
};

const client = new Client(INFO, {
    capabilities: CAPABILITIES,
    versionNegotiation: { mode: given.probe ? 'auto' : 'legacy' }
});

// Sends a request of the extension, and gives its response.
let requests = 0;
const dispatch = async (request, options) => {
    const body = { jsonrpc: '2.0', id: `raw-${++requests}`, ...request };
    const headers = {
        accept: 'application/json, text/event-stream',
        'content-type': 'application/json',
        'mcp-protocol-version': given.revision,
        'mcp-method': body.method,
        ...(body.method === 'tools/call' ? { 'mcp-name': body.params.name } : {}),
        ...options?.context?.headers
    };
    const answer = await fetch(given.url, { method: 'POST', headers, body: JSON.stringify(body), signal: options?.signal });
    const message = await answer.json();
    return message.error ? { kind: 'error', error: message.error } : { kind: 'result', result: message.result };
};

let session;
const open = async () => {
    const declared = new Map((await client.listTools()).tools.map(tool => [tool.name, toolDeclarationFromMcpTool(tool)]));
    const framing = { protocolVersion: given.revision, clientInfo: INFO, clientCapabilities: CAPABILITIES };
    session = createTaskSessionFromClient(client, {
        endpointId: 'peer',
        tools: { currentTool: name => declared.get(name) },
        onInputRequest: async () => ({ action: 'accept', content: { value: NAME } }),
        ...(given.probe ? { rawDispatch: dispatch, v2RequestFraming: framing } : {})
    });
};

const textOf = result => result.content.map(block => block.text ?? '').join('');
const plain = async (name, key) => textOf(await client.callTool({ name, arguments: { key } }));
const started = async (name, args = {}) => {
    const execution = await session.callTool(name, args, { task: { preference: 'prefer' } });
    if (execution.kind !== 'task') throw new Error(`no task was made of ${name}`);
    return execution;
};
const settled = async (execution, options) => resultFromTaskOutcome((await execution.settle(options)).outcome);
const caught = promise => promise.then(() => undefined, error => error);

const untilSaid = async (id, wanted) => {
    const task = session.task(id);
    while ((await task.snapshot()).statusMessage !== wanted) await new Promise(resolve => setTimeout(resolve, 20));
    return task;
};

const steps = {
    async call() {
        await plain('release', 'call');
        const execution = await session.callTool('work', { key: 'call' });
        return expect(textOf(await settled(execution)), 'done call');
    },
    async start() {
        const execution = await started('work', { key: 'start' });
        const task = await untilSaid(execution.handle.taskId, 'half way');
        expect((await task.snapshot()).status, 'working');
        await plain('release', 'start');
        expect(textOf(await settled(execution)), 'done start');
        return expect((await task.snapshot()).status, 'completed');
    },
    async progress() {
        const execution = await started('work', { key: 'progress' });
        let heard;
        const told = new Promise(resolve => (heard = resolve));
        const onEvent = event => {
            const message = (event.task ?? event.outcome?.task)?.statusMessage;
            if (message) heard(message);
        };
        const waiting = settled(execution, { onEvent });
        waiting.catch(() => {});
        try {
            return expect(await within(told, 5000, 'progress'), 'half way');
        } finally {
            await plain('release', 'progress');
            await waiting;
        }
    },
    async error() {
        const came = await settled(await started('fail'));
        return expect([came.isError, textOf(came).includes('no luck today')], [true, true]);
    },
    async failed() {
        const error = await caught(settled(await started('refuse')));
        return expect([error?.code, String(error?.message).includes('not today')], [-31050, true]);
    },
    async ask() {
        const execution = await started('ask');
        try {
            return expect(textOf(await within(settled(execution), 2000, 'an answer')), 'Hello, Ada');
        } catch (error) {
            await execution.cancel();
            throw error;
        }
    },
    async question() {
        throw new Error('nothing is asked of it as a task');
    },
    async cancel() {
        const execution = await started('endless', { key: 'cancel' });
        const task = await untilSaid(execution.handle.taskId, 'begun');
        const waiting = caught(settled(execution));
        await execution.cancel();
        expect((await task.snapshot()).status, 'cancelled');
        expect((await waiting) instanceof TaskCancelledError, true);
        return expect(await plain('was_cancelled', 'cancel'), 'yes');
    },
    async unknown() {
        return expect((await caught(session.task('never-was').snapshot()))?.code, -32602);
    },
    async listed() {
        const execution = await started('work', { key: 'listed' });
        try {
            const page = await session.listTasks();
            return expect(page.tasks.some(each => each.taskId === execution.handle.taskId), true);
        } finally {
            await plain('release', 'listed');
            await settled(execution);
        }
    }
};

const transport = () => {
    if (given.command) {
        const [command, ...args] = JSON.parse(given.command);
        return new StdioClientTransport({ command, args, env: process.env });
    }
    return new StreamableHTTPClientTransport(new URL(given.url));
};

const drive = async () => {
    try {
        await within(client.connect(transport()), CONNECT_MS, 'connect');
        await open();
    } catch (error) {
        console.error(error);
        return say('connect', false, error);
    }
    const revision = client.getNegotiatedProtocolVersion();
    say('connect', revision === given.revision, `negotiated ${revision}`);
    for (const name of given.steps.split(',')) {
        try {
            say(name, true, await within(steps[name](), STEP_MS, name));
        } catch (error) {
            console.error(error);
            say(name, false, error);
        }
    }
    await within(session.close(), STEP_MS, 'close');
    await within(client.close(), STEP_MS, 'close');
    say('close', true, '');
};

await drive();
process.exit(0);
