// The TypeScript SDK as a client that logs in. Its one argument and the lines it hears and says are those of
// `mcp_login_client.py`; here `how` may also be `dpop`: a person, and tokens bound to a key.
//
// Written with its public providers, as its own documentation teaches it: what a provider of one's own has to keep it
// keeps in memory, and whoever is sent to a browser finishes the login and tries again.

import { createInterface } from 'node:readline';

import {
    Client,
    ClientCredentialsProvider,
    CrossAppAccessProvider,
    DpopSession,
    PrivateKeyJwtProvider,
    StreamableHTTPClientTransport,
    UnauthorizedError
} from '@modelcontextprotocol/client';

const CALLBACK = 'http://127.0.0.1:33418/callback';
const TRIES = 3;
const given = JSON.parse(process.argv[2]);
const say = what => process.stdout.write(`${JSON.stringify(what)}\n`);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const hear = async () => {
    const { value, done } = await lines.next();
    return done ? undefined : JSON.parse(value);
};

class Person {
    #client;
    #tokens;
    #verifier;
    #discovered;
    #state;
    #session = given.how === 'dpop' ? DpopSession.create() : undefined;
    clientMetadataUrl = given.document;
    redirectUrl = CALLBACK;
    clientMetadata = { client_name: 'the peer', redirect_uris: [CALLBACK] };
    awaited = false;

    dpop() {
        return this.#session;
    }
    state() {
        return (this.#state = crypto.randomUUID());
    }
    clientInformation() {
        return this.#client;
    }
    saveClientInformation(client) {
        this.#client = client;
    }
    tokens() {
        return this.#tokens;
    }
    saveTokens(tokens) {
        this.#tokens = tokens;
    }
    saveCodeVerifier(verifier) {
        this.#verifier = verifier;
    }
    codeVerifier() {
        return this.#verifier;
    }
    saveDiscoveryState(state) {
        this.#discovered = state;
    }
    discoveryState() {
        return this.#discovered;
    }
    redirectToAuthorization(url) {
        say({ open: String(url) });
        this.awaited = true;
    }
    async cameBack() {
        this.awaited = false;
        const parameters = new URL((await hear()).came_back).searchParams;
        if (parameters.get('state') !== this.#state) throw new Error('the state is another');
        return parameters;
    }
}

const provider = () => {
    const { client_id: clientId, issuer: expectedIssuer, secret: clientSecret, scope } = given;
    const known = { clientId, expectedIssuer, scope };
    if (given.how === 'secret') return new ClientCredentialsProvider({ ...known, clientSecret });
    if (given.how === 'key') return new PrivateKeyJwtProvider({ ...known, privateKey: given.key, algorithm: 'ES256' });
    if (given.how === 'statement') {
        return new CrossAppAccessProvider({ ...known, clientSecret, assertion: async () => given.statement });
    }
    return new Person();
};

const authProvider = provider();
let transport;
let client;

const connect = async () => {
    client = new Client(
        { name: 'peer', version: '1.0.0' },
        { versionNegotiation: { mode: given.era >= '2026' ? 'auto' : 'legacy' } }
    );
    transport = new StreamableHTTPClientTransport(new URL(given.url), { authProvider });
    await client.connect(transport);
    return client.getNegotiatedProtocolVersion();
};

const call = async tool => {
    const result = await client.callTool({ name: tool, arguments: {} });
    const text = result.content.map(block => block.text).join('');
    if (result.isError) throw new Error(text);
    return text;
};

// What it gives; where it sends somebody to a browser, that is waited for, and it is tried again.
const withPerson = async doing => {
    for (let tries = 0; ; tries += 1) {
        try {
            return await doing();
        } catch (error) {
            if (!(error instanceof UnauthorizedError) || !authProvider.awaited || tries === TRIES) throw error;
            await transport.finishAuth(await authProvider.cameBack());
        }
    }
};

const answer = async doing => {
    try {
        say({ text: await withPerson(doing) });
    } catch (error) {
        console.error(error);
        say({ error: String(error) });
    }
};

await answer(connect);
const now = Date.now;
let ahead = 0;
for (let told = await hear(); told !== undefined; told = await hear()) {
    if (told.do === 'later') {
        ahead += told.seconds * 1000;
        Date.now = () => now() + ahead;
        say({ text: 'later' });
    } else {
        await answer(() => call(told.tool));
    }
}
await client.close();
