// oidc-provider on a loopback port: `node server.mjs PORT`. Each line on standard input is the JWK set to sign with
// from now on, the signing keys first; the first line starts the server, the end of input ends it.
import http from 'node:http';
import readline from 'node:readline';
import Provider from 'oidc-provider';

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
let answer;

function provider(jwks) {
  return new Provider(issuer, {
    jwks,
    clients: ['RS256', 'ES256'].map((algorithm) => ({
      client_id: `app-${algorithm}`,
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://127.0.0.1/callback'],
      grant_types: ['authorization_code'],
      response_types: ['code'],
      id_token_signed_response_alg: algorithm,
    })),
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['groups'] },
    conformIdTokenClaims: false,
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@acme.test`, email_verified: true, groups: ['developers', 'oncall'] }),
    }),
    cookies: { keys: ['loopback only'] },
  });
}

const server = http.createServer((request, response) => answer(request, response));
const lines = readline.createInterface({ input: process.stdin });
lines.on('line', (line) => {
  answer = provider(JSON.parse(line)).callback();
  if (server.listening) process.stdout.write('rotated\n');
  else server.listen(port, '127.0.0.1', () => process.stdout.write('listening\n'));
});
lines.on('close', () => process.exit(0));
