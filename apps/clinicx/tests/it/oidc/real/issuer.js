// An OpenID Connect provider for one test run, on a port of its own; its URL is the only line that it prints.
// Ends with its standard input, so that it outlives no test run.
//
// `node issuer.js '{"audience": …, "client": {"id": …, "secret": …, "redirect": …}, "machine": {…}, "people": {…}}'`

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const settings = JSON.parse(process.argv[2]);
const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });

const configuration = {
  clients: [
    {
      client_id: settings.client.id,
      client_secret: settings.client.secret,
      redirect_uris: [settings.client.redirect],
      grant_types: ['authorization_code'],
    },
    {
      client_id: settings.machine.id,
      client_secret: settings.machine.secret,
      redirect_uris: [],
      response_types: [],
      grant_types: ['client_credentials'],
    },
  ],
  jwks: { keys: [{ ...key, kid: 'real-1', use: 'sig', alg: 'RS256' }] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  claims: { openid: ['sub', 'tenant', 'roles'], profile: ['name'], email: ['email', 'email_verified'] },
  // The claims of the scopes stand in the ID token.
  conformIdTokenClaims: false,
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...settings.people[id] }) }),
  extraTokenClaims: () => settings.machine.claims,
  ttl: { AccessToken: 600, ClientCredentials: 600, IdToken: 600, Session: 600, Interaction: 600, Grant: 600 },
  features: {
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => settings.audience,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, audience) => ({
        scope: '', audience, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
};

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  server.on('request', new Provider(issuer, configuration).callback());
  console.log(issuer);
});
process.stdin.on('end', () => process.exit(0)).resume();
