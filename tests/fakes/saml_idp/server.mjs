// samlify as an identity provider on a loopback port: `node server.mjs PORT`. The first line on standard input is JSON:
// `key` and `certificate` (PEM), `service_provider` (its metadata), `attributes` (name to list of values). The end of
// input ends it. `mode` in a query is assertion, response or both: what is signed; `encrypted=1` encrypts.
//   GET /metadata            the identity provider's metadata
//   GET /sso, POST /sso/post sign-in that the service provider began: its signed AuthnRequest is verified
//   GET /start               sign-in that begins here
// Each sign-in answers with a form that the browser posts to the service provider.
import http from 'node:http';
import readline from 'node:readline';
import * as samlify from 'samlify';

const { Constants, IdentityProvider, SamlLib, ServiceProvider, setSchemaValidator } = samlify.default ?? samlify;
const port = Number(process.argv[2]);
const url = `http://127.0.0.1:${port}`;
const parties = {};
let world;

// What is under test is the reader of these responses; requests are checked by their signature.
setSchemaValidator({ validate: async () => 'not validated' });

function bare(pem) {
  return pem.replace(/-----[A-Z ]+-----|\s/g, '');
}

function attributes() {
  return Object.entries(world.attributes).flatMap(([name, values]) =>
    values.map((value, index) => ({ name, value, tag: `${Buffer.from(name).toString('hex')}${index}` })),
  );
}

function party(mode, encrypted) {
  const key = `${mode} ${encrypted}`;
  parties[key] ??= make(mode, encrypted);
  return parties[key];
}

function make(mode, encrypted) {
  const template = SamlLib.defaultLoginResponseTemplate.context.replace(
    '{AuthnStatement}',
    '<saml:AuthnStatement AuthnInstant="{IssueInstant}" SessionIndex="{AssertionID}"><saml:AuthnContext>' +
      '<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport' +
      '</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>',
  );
  const signed = `AuthnRequestsSigned="true" WantAssertionsSigned="${mode !== 'response'}"`;
  // samlify reads one encryption certificate: the first, which is the newest.
  let encryption = 0;
  const metadata = world.service_provider
    .replace(/<(\w+:)?KeyDescriptor use="encryption">.*?<\/(\w+:)?KeyDescriptor>/gs, (all) => (encryption++ ? '' : all))
    .replace(/(AuthnRequestsSigned|WantAssertionsSigned)="true"/g, '')
    .replace(/<(\w+:)?SPSSODescriptor /, (start) => `${start}${signed} `);
  return {
    idp: IdentityProvider({
      entityID: `${url}/metadata`,
      privateKey: world.key,
      signingCert: bare(world.certificate),
      isAssertionEncrypted: encrypted,
      wantAuthnRequestsSigned: true,
      requestSignatureAlgorithm: 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
      dataEncryptionAlgorithm: 'http://www.w3.org/2009/xmlenc11#aes256-gcm',
      keyEncryptionAlgorithm: 'http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p',
      nameIDFormat: ['urn:oasis:names:tc:SAML:2.0:nameid-format:persistent'],
      singleSignOnService: [
        { Binding: Constants.namespace.binding.redirect, Location: `${url}/sso` },
        { Binding: Constants.namespace.binding.post, Location: `${url}/sso/post` },
      ],
      loginResponseTemplate: {
        context: template,
        attributes: attributes().map(({ name, tag }) => ({
          name,
          valueTag: tag,
          nameFormat: 'urn:oasis:names:tc:SAML:2.0:attrname-format:uri',
          valueXsiType: 'xs:string',
        })),
      },
    }),
    sp: ServiceProvider({
      metadata,
      wantMessageSigned: mode !== 'assertion',
    }),
  };
}

async function answer({ idp, sp }, request, user) {
  const now = new Date();
  const later = new Date(now.getTime() + 300_000);
  const acs = sp.entityMeta.getAssertionConsumerService('post');
  const fill = (template) => {
    const id = `_${crypto.randomUUID()}`;
    const tags = {
      ID: id,
      AssertionID: `_${crypto.randomUUID()}`,
      Destination: acs,
      Audience: sp.entityMeta.getEntityID(),
      SubjectRecipient: acs,
      Issuer: idp.entityMeta.getEntityID(),
      IssueInstant: now.toISOString(),
      StatusCode: 'urn:oasis:names:tc:SAML:2.0:status:Success',
      ConditionsNotBefore: now.toISOString(),
      ConditionsNotOnOrAfter: later.toISOString(),
      SubjectConfirmationDataNotOnOrAfter: later.toISOString(),
      NameIDFormat: 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
      NameID: user,
      InResponseTo: request?.extract.request.id,
    };
    for (const { tag, value } of attributes()) tags[`attr${tag[0].toUpperCase()}${tag.slice(1)}`] = value;
    return { id, context: SamlLib.replaceTagsByValue(template, tags) };
  };
  const response = await idp.createLoginResponse(sp, request ?? {}, 'post', { email: user }, {
    customTagReplacement: fill,
    encryptThenSign: true,
  });
  return { acs, SAMLResponse: response.context };
}

function escape(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function page({ acs, SAMLResponse }, relayState) {
  const state = relayState ? `<input type="hidden" name="RelayState" value="${escape(relayState)}">` : '';
  return `<!doctype html><title>Signing in</title><form method="post" action="${escape(acs)}">
<input type="hidden" name="SAMLResponse" value="${SAMLResponse}">${state}<button>Continue</button></form>
<script>document.forms[0].submit()</script>`;
}

async function body(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  return Object.fromEntries(new URLSearchParams(text));
}

async function handle(request, response) {
  const { pathname, search, searchParams } = new URL(request.url, url);
  const chosen = party(searchParams.get('mode') ?? 'assertion', searchParams.get('encrypted') === '1');
  const user = searchParams.get('user') ?? 'alice';
  if (pathname === '/metadata') {
    response.setHeader('Content-Type', 'application/samlmetadata+xml').end(chosen.idp.getMetadata());
  } else if (pathname === '/start') {
    response.setHeader('Content-Type', 'text/html').end(page(await answer(chosen, null, user)));
  } else if (pathname === '/sso') {
    const octetString = search.slice(1).replace(/&Signature=.*$/, '');
    const asked = await chosen.idp.parseLoginRequest(chosen.sp, 'redirect', {
      query: Object.fromEntries(searchParams),
      octetString,
    });
    const form = page(await answer(chosen, asked, user), searchParams.get('RelayState'));
    response.setHeader('Content-Type', 'text/html').end(form);
  } else if (pathname === '/sso/post') {
    const fields = await body(request);
    const asked = await chosen.idp.parseLoginRequest(chosen.sp, 'post', { body: fields });
    const form = page(await answer(chosen, asked, user), fields.RelayState);
    response.setHeader('Content-Type', 'text/html').end(form);
  } else {
    response.writeHead(404).end();
  }
}

const server = http.createServer((request, response) => {
  handle(request, response).catch((error) => response.writeHead(400).end(String(error?.stack ?? error)));
});

readline
  .createInterface({ input: process.stdin })
  .once('line', (line) => {
    world = JSON.parse(line);
    server.listen(port, '127.0.0.1', () => console.log('listening'));
  })
  .on('close', () => process.exit(0));
