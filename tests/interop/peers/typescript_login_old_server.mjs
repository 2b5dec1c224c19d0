// Version 1 of the TypeScript SDK as a protected server, with the authorization server that it had. Its one argument and
// the lines it hears and says are those of `mcp_login_server.py`. It speaks the stateful era alone.
//
// Written with its public API, as its own documentation teaches it: its routers, and a provider that keeps all in memory.

import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';

import { InvalidGrantError, InvalidTokenError } from '@modelcontextprotocol/sdk/server/auth/errors.js';
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import { getOAuthProtectedResourceMetadataUrl, mcpAuthRouter } from '@modelcontextprotocol/sdk/server/auth/router.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import express from 'express';

const given = JSON.parse(process.argv[2]);
const say = what => process.stdout.write(`${JSON.stringify(what)}\n`);
const SCOPES = ['notes:read', 'notes:write'];
const HOUR = 3600;
const clients = new Map();
const codes = new Map();
const access = new Map();
const refreshing = new Map();
const grants = [];

const issue = (how, clientId, scopes, resource) => {
    grants.push(how);
    const [token, refresh] = [randomUUID(), randomUUID()];
    const expiresAt = Math.floor(Date.now() / 1000) + HOUR;
    access.set(token, { token, clientId, scopes, resource, expiresAt, extra: { subject: 'alice' } });
    refreshing.set(refresh, { clientId, scopes, resource });
    return { access_token: token, token_type: 'bearer', expires_in: HOUR, scope: scopes.join(' '), refresh_token: refresh };
};

const provider = {
    clientsStore: {
        getClient: id => clients.get(id),
        registerClient: client => {
            clients.set(client.client_id, client);
            return client;
        }
    },
    async authorize(client, params, res) {
        const code = randomUUID();
        codes.set(code, { client, params });
        const target = new URL(params.redirectUri);
        target.search = new URLSearchParams({ code, state: params.state });
        res.redirect(target.href);
    },
    async challengeForAuthorizationCode(_client, code) {
        return codes.get(code).params.codeChallenge;
    },
    async exchangeAuthorizationCode(client, code, _verifier, redirectUri, asked) {
        const { params } = codes.get(code);
        codes.delete(code);
        if (redirectUri !== params.redirectUri) throw new InvalidGrantError('another redirect');
        if (asked?.href !== resource.href || params.resource?.href !== resource.href) throw new InvalidGrantError('another resource');
        return issue('authorization_code', client.client_id, params.scopes ?? SCOPES, resource);
    },
    async exchangeRefreshToken(client, token, _scopes, asked) {
        const found = refreshing.get(token);
        refreshing.delete(token);
        if (found?.clientId !== client.client_id || asked?.href !== resource.href) throw new InvalidGrantError('unknown');
        return issue('refresh_token', client.client_id, found.scopes, found.resource);
    },
    async verifyAccessToken(token) {
        const found = access.get(token);
        if (found?.resource.href !== resource.href) throw new InvalidTokenError('unknown');
        return found;
    }
};

const build = () => {
    const server = new McpServer({ name: 'notes', version: '1.0.0' });
    server.registerTool('read', {}, async ({ authInfo }) => ({
        content: [{ type: 'text', text: `${authInfo.extra.subject} reads` }]
    }));
    return server;
};

const app = express();
const http = await new Promise(resolve => {
    const listening = app.listen({ fd: given.fd }, () => resolve(listening));
});
const origin = new URL(given.origin);
const resource = new URL('/mcp', origin);
app.use(mcpAuthRouter({ provider, issuerUrl: origin, resourceServerUrl: resource, scopesSupported: SCOPES }));
const gate = requireBearerAuth({
    verifier: provider,
    requiredScopes: ['notes:read'],
    resourceMetadataUrl: getOAuthProtectedResourceMetadataUrl(resource)
});
app.post('/mcp', gate, express.json(), async (req, res) => {
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
    res.on('close', () => transport.close());
    await build().connect(transport);
    await transport.handleRequest(req, res, req.body);
});
app.all('/mcp', gate, (_req, res) => res.status(405).end());
say({ text: 'listening' });
for await (const line of createInterface({ input: process.stdin })) {
    if (JSON.parse(line).do === 'end') access.clear();
    say({ text: grants });
}
http.close();
http.closeAllConnections();
