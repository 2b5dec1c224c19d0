// The TypeScript SDK as a protected server. Its one argument and the lines it hears and says are those of
// `mcp_login_server.py`. It has no authorization server of its own: version 2 of the SDK has the pieces of a resource
// server alone.
//
// Written with its public API, as its own documentation teaches it: a gate before the handlers of both eras, the
// documents beside them, and a challenge of its own where a tool needs more than the gate.

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import { NodeStreamableHTTPServerTransport, toNodeHandler, toWebRequest } from '@modelcontextprotocol/node';
import {
    bearerAuthChallengeResponse,
    createMcpHandler,
    getOAuthProtectedResourceMetadataUrl,
    isInitializeRequest,
    isLegacyRequest,
    McpServer,
    OAuthError,
    OAuthErrorCode,
    oauthMetadataResponse,
    requireBearerAuth
} from '@modelcontextprotocol/server';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as z from 'zod/v4';

const given = JSON.parse(process.argv[2]);
const say = what => process.stdout.write(`${JSON.stringify(what)}\n`);
const READ = ['notes:read'];
const WRITE = ['notes:read', 'notes:write'];

const introspected = async token => {
    const credentials = Buffer.from(`notes-server:${encodeURIComponent(given.secret)}`).toString('base64');
    const answer = await fetch(oauthMetadata.introspection_endpoint, {
        method: 'POST',
        headers: { authorization: `Basic ${credentials}` },
        body: new URLSearchParams({ token })
    });
    const claims = await answer.json();
    if (!answer.ok || !claims.active) throw new Error('it is not active');
    return claims;
};

const verifyAccessToken = async token => {
    let claims;
    try {
        claims =
            given.role === 'introspection'
                ? await introspected(token)
                : (await jwtVerify(token, keys, { issuer: given.issuer, audience: resource.href, typ: 'at+jwt' })).payload;
    } catch (error) {
        throw new OAuthError(OAuthErrorCode.InvalidToken, String(error));
    }
    return {
        token,
        clientId: claims.client_id,
        scopes: claims.scope.split(' '),
        expiresAt: claims.exp,
        resource: new URL(claims.aud),
        extra: { subject: claims.sub }
    };
};

const build = () => {
    const server = new McpServer({ name: 'notes', version: '1.0.0' });
    const doing = what => async (_args, ctx) => ({
        content: [{ type: 'text', text: `${ctx.http.authInfo.extra.subject} ${what}` }]
    });
    server.registerTool('read', { inputSchema: z.object({}) }, doing('reads'));
    server.registerTool('write', { inputSchema: z.object({}) }, doing('writes'));
    return server;
};

const sessions = new Map();
const legacy = async (req, res, body) => {
    const id = req.headers['mcp-session-id'];
    if (id && sessions.has(id)) return sessions.get(id).handleRequest(req, res, body);
    if (id || !isInitializeRequest(body)) {
        res.writeHead(id ? 404 : 400);
        return res.end();
    }
    const transport = new NodeStreamableHTTPServerTransport({
        sessionIdGenerator: () => randomUUID(),
        onsessioninitialized: session => sessions.set(session, transport)
    });
    transport.onclose = () => sessions.delete(transport.sessionId);
    await build().connect(transport);
    return transport.handleRequest(req, res, body);
};
const modern = toNodeHandler(createMcpHandler(build, { legacy: 'reject' }));

const send = async (res, answer) => {
    res.writeHead(answer.status, Object.fromEntries(answer.headers));
    res.end(await answer.text());
};

const handle = async (req, res) => {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString('utf8');
    const body = text ? JSON.parse(text) : undefined;
    const request = await toWebRequest(req, body);
    const document = oauthMetadataResponse(request, {
        oauthMetadata,
        resourceServerUrl: resource,
        scopesSupported: READ,
        dangerouslyAllowInsecureIssuerUrl: true
    });
    if (document) return send(res, document);
    const auth = await gate(request);
    if (auth instanceof Response) return send(res, auth);
    if (body?.method === 'tools/call' && body.params.name === 'write' && !auth.scopes.includes('notes:write')) {
        const more = new OAuthError(OAuthErrorCode.InsufficientScope, 'writing needs more');
        return send(res, bearerAuthChallengeResponse(more, { requiredScopes: WRITE, resourceMetadataUrl }));
    }
    req.auth = auth;
    if (req.method !== 'POST' || (await isLegacyRequest(request, body))) return legacy(req, res, body);
    return modern(req, res, body);
};

const oauthMetadata = await (await fetch(`${given.issuer}/.well-known/oauth-authorization-server`)).json();
const keys = createRemoteJWKSet(new URL(oauthMetadata.jwks_uri));
const http = createServer((req, res) => {
    handle(req, res).catch(error => {
        console.error(error);
        if (!res.headersSent) res.writeHead(500);
        res.end();
    });
});
await new Promise(resolve => http.listen({ fd: given.fd }, resolve));
const resource = new URL('/mcp', given.origin);
const resourceMetadataUrl = getOAuthProtectedResourceMetadataUrl(resource);
const gate = requireBearerAuth({
    verifier: { verifyAccessToken },
    requiredScopes: READ,
    resourceMetadataUrl,
    expectedResource: resource
});
say({ text: 'listening' });
for await (const _ of createInterface({ input: process.stdin })) say({ text: [] });
http.close();
http.closeAllConnections();
