// An authorization server that neither we nor the SDKs wrote: the package oidc-provider, a certified OpenID provider
// for Node. Its one argument and the lines it hears and says are those of `mcp_login_server.py`.
//
// Set up as its documentation says for access tokens that a resource server checks by itself: a JWT for each resource.
// People meet the pages that come with it for development: who is there, and whether they agree.

import { createInterface } from 'node:readline';

import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';

console.info = console.log = console.warn = console.error; // standard output is for the test
const given = JSON.parse(process.argv[2]);
const say = what => process.stdout.write(`${JSON.stringify(what)}\n`);
const { privateKey } = await generateKeyPair('ES256', { extractable: true });
const grants = [];
const machine = {
    redirect_uris: [],
    response_types: [],
    grant_types: ['client_credentials'],
    token_endpoint_auth_method: 'client_secret_basic'
};

const provider = new Provider(given.origin, {
    clients: [
        { ...machine, client_id: 'job', client_secret: given.secret },
        { ...machine, client_id: 'keyed', token_endpoint_auth_method: 'private_key_jwt', jwks: given.jwks },
        { ...machine, client_id: 'notes-server', client_secret: given.secret }
    ].map(client => ({ ...client, token_endpoint_auth_signing_alg: client.jwks && 'ES256' })),
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    cookies: { keys: ['for the length of a test'] },
    features: {
        clientCredentials: { enabled: true },
        clientIdMetadataDocument: { enabled: true, ack: 'draft-02' },
        dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 1), requireNonce: () => true },
        introspection: { enabled: true, allowedPolicy: (_ctx, client) => client.clientId === 'notes-server' },
        registration: { enabled: true },
        resourceIndicators: {
            enabled: true,
            getResourceServerInfo: (_ctx, resource) => ({
                audience: resource,
                scope: 'notes:read notes:write',
                accessTokenFormat: given.format,
                accessTokenTTL: 600,
                ...(given.format === 'jwt' && { jwt: { sign: { alg: 'ES256' } } })
            }),
            useGrantedResource: () => true
        },
        revocation: { enabled: true }
    },
    // Documents stand on this machine, where it would not go by itself.
    fetch: (url, { dispatcher: _, ...options }) => fetch(url, options),
    findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: 'ES256', use: 'sig', kid: 'one' }] },
    scopes: ['openid', 'offline_access', 'notes:read', 'notes:write']
});
provider.on('grant.success', ctx => grants.push(ctx.oidc.params.grant_type.split(':').at(-1)));
provider.on('grant.error', (_ctx, error) => console.error(error));
provider.on('server_error', (_ctx, error) => console.error(error));

const http = provider.listen({ fd: given.fd }, () => say({ text: 'listening' }));
for await (const _ of createInterface({ input: process.stdin })) say({ text: grants });
http.close();
http.closeAllConnections();
