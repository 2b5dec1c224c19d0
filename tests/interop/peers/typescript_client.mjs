// The TypeScript SDK as a client. The command line and the lines it prints are those of `stepping.py`:
// --url URL or --command JSON, --transport, --revision, --probe, --steps; a line of JSON for each step.
//
// Written with its public API, as its own documentation teaches it.

import { parseArgs } from 'node:util';

import { Client, ProtocolError, SSEClientTransport, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const STEP_MS = 10_000;
const CONNECT_MS = 20_000;
const NAME = 'Ada';
const MODEL_SAYS = 'four';
const ROOT = 'file:///srv/a';
const NOTE = 'note://a';
const LOG_LEVEL = 'io.modelcontextprotocol/logLevel';
const STEPS =
    'lists,read,prompt,complete,call,tool_error,protocol_error,progress,cancel,log,ask,sample,both,roots,list_changed,updated';

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
const stateless = given.revision >= '2026';

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

const filled = schema => {
    const answer = {};
    for (const [key, member] of Object.entries(schema.properties)) {
        if (member.type === 'string' && !member.enum && !member.format) answer[key] = NAME;
    }
    return answer;
};

const client = new Client(
    { name: 'peer', version: '1.0.0' },
    {
        capabilities: { elicitation: { form: {} }, sampling: {}, roots: {} },
        versionNegotiation: { mode: given.probe ? 'auto' : 'legacy' }
    }
);
client.setRequestHandler('sampling/createMessage', async () => ({
    model: 'none',
    role: 'assistant',
    content: { type: 'text', text: MODEL_SAYS }
}));
client.setRequestHandler('roots/list', async () => ({ roots: [{ uri: ROOT }] }));
client.setRequestHandler('elicitation/create', async request => ({
    action: 'accept',
    content: filled(request.params.requestedSchema)
}));

// The next notification of each kind, for whoever waits for one.
const heard = method =>
    within(
        new Promise(resolve => client.setNotificationHandler(method, notification => resolve(notification.params))),
        5000,
        method
    );

const textOf = result => result.content.map(block => block.text ?? '').join('');
const call = async (name, args = {}) => textOf(await client.callTool({ name, arguments: args }));

const slow = async key => {
    const seen = [];
    const controller = new AbortController();
    let reached;
    const enough = new Promise(resolve => (reached = resolve));
    const onprogress = ({ progress }) => {
        seen.push(progress);
        if (progress >= 3) reached();
    };
    const running = client
        .callTool({ name: 'slow', arguments: { key } }, { onprogress, signal: controller.signal })
        .then(result => ({ result: textOf(result) }), error => ({ error }));
    const first = await within(Promise.race([running, enough]), 5000, 'progress').catch(() => undefined);
    if (first) throw new Error(`the call ended by itself: ${first.error ?? first.result}`);
    controller.abort('no longer needed');
    await running;
    return seen;
};

const steps = {
    async lists() {
        const names = [
            ...(await client.listTools()).tools.map(each => each.name),
            ...(await client.listResources()).resources.map(each => each.uri),
            ...(await client.listResourceTemplates()).resourceTemplates.map(each => each.uriTemplate),
            ...(await client.listPrompts()).prompts.map(each => each.name)
        ];
        const wanted = ['add', 'fail', 'slow', 'ask', 'touch', NOTE, 'note://by/{name}', 'greet'];
        const missed = wanted.filter(each => !names.includes(each));
        if (missed.length > 0) throw new Error(`saw ${names} and missed ${missed}`);
        return wanted.join(' ');
    },
    async read() {
        const plain = await client.readResource({ uri: NOTE });
        const by = await client.readResource({ uri: 'note://by/Ada' });
        return expect([plain.contents[0].text, by.contents[0].text], ['first note', 'note by Ada']);
    },
    async prompt() {
        const prompt = await client.getPrompt({ name: 'greet', arguments: { name: NAME } });
        return expect(prompt.messages[0].content.text, 'Greet Ada');
    },
    async complete() {
        const ref = { type: 'ref/prompt', name: 'greet' };
        const { completion } = await client.complete({ ref, argument: { name: 'name', value: 'A' } });
        return expect(completion.values, ['Ada', 'Alan']);
    },
    async call() {
        return expect(await call('add', { a: 2, b: 3 }), '5');
    },
    async tool_error() {
        const result = await client.callTool({ name: 'fail', arguments: {} });
        return expect([result.isError, textOf(result).includes('no luck today')], [true, true]);
    },
    async protocol_error() {
        const error = await client.readResource({ uri: 'missing://x' }).then(() => undefined, caught => caught);
        if (!(error instanceof ProtocolError) || ![-32602, -32002].includes(error.code)) {
            throw new Error(`saw ${error}`);
        }
        return error.code;
    },
    async progress() {
        return expect(await slow('progress'), [1, 2, 3]);
    },
    async cancel() {
        await slow('cancel');
        return expect(await call('was_cancelled', { key: 'cancel' }), 'yes');
    },
    async log() {
        const message = heard('notifications/message');
        message.catch(() => {});
        if (!stateless && client.getServerCapabilities()?.logging) await client.setLoggingLevel('info');
        const _meta = stateless ? { [LOG_LEVEL]: 'info' } : undefined;
        await client.callTool({ name: 'tell', arguments: {}, _meta });
        return expect((await message).data, 'something is odd');
    },
    async sample() {
        return expect(await call('think'), `The model says ${MODEL_SAYS}`);
    },
    async both() {
        return expect(await call('both'), `${NAME} hears ${MODEL_SAYS}`);
    },
    async roots() {
        return expect(await call('where'), ROOT);
    },
    async ask() {
        return expect(await call('ask'), 'Hello, Ada');
    },
    async list_changed() {
        const change = heard('notifications/tools/list_changed');
        change.catch(() => {});
        const subscription = stateless ? await client.listen({ toolsListChanged: true }) : undefined;
        await call('touch');
        await change;
        await subscription?.close();
        return 'heard';
    },
    async updated() {
        const change = heard('notifications/resources/updated');
        change.catch(() => {});
        const subscription = stateless ? await client.listen({ resourceSubscriptions: [NOTE] }) : undefined;
        if (!stateless) await client.subscribeResource({ uri: NOTE });
        await call('touch');
        const params = await change;
        await subscription?.close();
        return expect(params.uri, NOTE);
    }
};

const transport = () => {
    if (given.command) {
        const [command, ...args] = JSON.parse(given.command);
        return new StdioClientTransport({ command, args, env: process.env });
    }
    const url = new URL(given.url);
    return given.transport === 'sse' ? new SSEClientTransport(url) : new StreamableHTTPClientTransport(url);
};

const drive = async () => {
    try {
        await within(client.connect(transport()), CONNECT_MS, 'connect');
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
    await within(client.close(), STEP_MS, 'close');
    say('close', true, '');
};

await drive();
process.exit(0);
