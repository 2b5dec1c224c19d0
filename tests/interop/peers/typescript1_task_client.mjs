// Version 1 of the TypeScript SDK as a client with tasks of 2025-11-25. The command line and the lines it prints are those
// of `stepping.py`: --url URL or --command JSON, --transport, --revision, --steps; a line of JSON for each step.
//
// Written with `client.experimental.tasks`, as its own documentation teaches it.

import { parseArgs } from 'node:util';

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CallToolResultSchema, ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';

const STEP_MS = 10_000;
const CONNECT_MS = 20_000;
const NAME = 'Ada';
const STEPS = 'call,start,progress,error,failed,ask,question,cancel,unknown,listed';

const { values: given } = parseArgs({
    options: {
        url: { type: 'string' },
        command: { type: 'string' },
        transport: { type: 'string' },
        revision: { type: 'string' },
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

const client = new Client({ name: 'peer', version: '1.0.0' }, { capabilities: { elicitation: { form: {} } } });
client.setRequestHandler(ElicitRequestSchema, async () => ({ action: 'accept', content: { value: NAME, name: NAME } }));

const tasks = client.experimental.tasks;
const textOf = result => result.content.map(block => block.text ?? '').join('');
const call = async (name, args = {}) => textOf(await client.callTool({ name, arguments: args }));
const stream = (name, args = {}, options = {}) =>
    tasks.callToolStream({ name, arguments: args }, CallToolResultSchema, { task: {}, ...options });
const result = id => tasks.getTaskResult(id, CallToolResultSchema);

// The id of the task that a call became.
const started = async (name, args, options) => {
    for await (const message of stream(name, args, options)) {
        if (message.type === 'taskCreated') return message.task.taskId;
        if (message.type === 'error') throw message.error;
    }
    throw new Error('no task was made');
};

const untilSaid = async (id, wanted) => {
    while ((await tasks.getTask(id)).statusMessage !== wanted) await new Promise(resolve => setTimeout(resolve, 20));
};

const refused = async promise => {
    const error = await promise.then(() => undefined, caught => caught);
    if (error?.code === undefined) throw new Error(`saw ${error}`);
    return error;
};

const steps = {
    async call() {
        await call('release', { key: 'call' });
        return expect(await call('work', { key: 'call' }), 'done call');
    },
    async start() {
        const seen = new Set();
        for await (const message of stream('work', { key: 'start' })) {
            if (message.type === 'error') throw message.error;
            if (message.type === 'taskStatus') seen.add(message.task.status);
            if (message.type === 'taskStatus' && message.task.statusMessage === 'half way') await call('release', { key: 'start' });
            if (message.type === 'result') expect(textOf(message.result), 'done start');
        }
        return expect([...seen], ['working', 'completed']);
    },
    async progress() {
        let heard;
        const told = new Promise(resolve => (heard = resolve));
        const id = await started('work', { key: 'progress' }, { onprogress: heard });
        const waiting = result(id);
        waiting.catch(() => {});
        try {
            return expect((await within(told, 5000, 'progress')).message, 'half way');
        } finally {
            await call('release', { key: 'progress' });
            await waiting;
        }
    },
    async error() {
        const id = await started('fail');
        const came = await result(id);
        expect((await tasks.getTask(id)).status, 'failed');
        return expect([came.isError, textOf(came).includes('no luck today')], [true, true]);
    },
    async failed() {
        const error = await refused(result(await started('refuse')));
        return expect([error.code, error.message.includes('not today')], [-31050, true]);
    },
    async ask() {
        for await (const message of stream('ask')) {
            if (message.type === 'error') throw message.error;
            if (message.type === 'result') return expect(textOf(message.result), 'Hello, Ada');
        }
        throw new Error('nothing came');
    },
    async question() {
        throw new Error('nothing is asked of it as a task');
    },
    async cancel() {
        const id = await started('endless', { key: 'cancel' });
        await untilSaid(id, 'begun');
        expect((await tasks.cancelTask(id)).status, 'cancelled');
        expect((await tasks.getTask(id)).status, 'cancelled');
        return expect(await call('was_cancelled', { key: 'cancel' }), 'yes');
    },
    async unknown() {
        return expect((await refused(tasks.getTask('never-was'))).code, -32602);
    },
    async listed() {
        const id = await started('work', { key: 'listed' });
        try {
            return expect((await tasks.listTasks()).tasks.some(each => each.taskId === id), true);
        } finally {
            await call('release', { key: 'listed' });
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
        await client.listTools(); // it knows from the list which tools may be tasks
    } catch (error) {
        console.error(error);
        return say('connect', false, error);
    }
    say('connect', given.revision === '2025-11-25', 'it does not tell what was negotiated; it knows no newer revision');
    for (const name of given.steps.split(',')) {
        try {
            say(name, true, await within(steps[name](), STEP_MS, name));
        } catch (error) {
            console.error(error);
            say(name, false, error);
        }
    }
    await within(client.close(), STEP_MS, 'close');
    say('close', true, '');
};

await drive();
process.exit(0);
