// The official SDK and our side of the federation, with the sandbox as Anthropic between them. A program in a guest is a
// process of its own here, with exactly the environment that we deliver. Run by federation.sh. Environment:
//   LLMHOOK_NODE_DIR, LLMHOOK_SANDBOX_URL, _ADMIN_KEY_FILE, _CONTROL   as for sdk-anthropic.mjs
//   LLMHOOK_FEDERATION_CLIENT        our side, see federation-client.c
//   LLMHOOK_WORK                     a folder
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createPublicKey, verify } from 'node:crypto';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { control, finish, knobs, tests, undriven } from './sdk-harness.mjs';

const env = process.env;
const { Anthropic } = createRequire(`${env.LLMHOOK_NODE_DIR}/package.json`)('@anthropic-ai/sdk');
const test = tests('sdk-federation.mjs');
const file = (name) => `${env.LLMHOOK_WORK}/${name}`;
const clientOf = (options) =>
  new Anthropic({ apiKey: null, authToken: null, baseURL: env.LLMHOOK_SANDBOX_URL, maxRetries: 0, ...options });
const question = { model: 'claude-sonnet-5-5', max_tokens: 8, messages: [{ role: 'user', content: 'hello' }] };
const state = async () => (await control('GET', '/state')).federation;
const lastRefusal = async () => (await state()).refusals.at(-1);

/** Our side. INPUT goes to its standard input. */
function ours(args, input = '') {
  return new Promise((resolve) => {
    const child = execFile(env.LLMHOOK_FEDERATION_CLIENT, args, (error, stdout, stderr) =>
      resolve({ code: error ? error.code : 0, stdout, stderr }));
    // Not all verbs read it: one that has ended before this comes to be written is no failure, its exit code says that.
    child.stdin.on('error', (error) => assert.equal(error.code, 'EPIPE'));
    child.stdin.end(input);
  });
}
async function good(args, input) {
  const { code, stdout, stderr } = await ours(args, input);
  assert.equal(code, 0, stderr);
  return stdout && JSON.parse(stdout);
}
function configure(values, name = 'conf') {
  const lines = Object.entries(values).map(([key, value]) => `${key} = ${value}`);
  writeFileSync(file(name), `[provider claude]\ntype = anthropic-federation\nbase-url = ${env.LLMHOOK_SANDBOX_URL}\n${lines.join('\n')}\n`, { mode: 0o600 });
  return file(name);
}

/** A program in the guest: asks a model whenever it is told to, in one process. */
function program(environment) {
  const code = `
    const { Anthropic } = require(${JSON.stringify(`${env.LLMHOOK_NODE_DIR}/node_modules/@anthropic-ai/sdk`)});
    const client = new Anthropic({ maxRetries: 0 });
    require('node:readline').createInterface({ input: process.stdin }).on('line', async () => {
      try {
        const answer = await client.messages.create(${JSON.stringify(question)});
        console.log('ok ' + answer.content[0].text);
      } catch (error) {
        console.log('no ' + error.constructor.name + ' ' + (error.statusCode ?? error.status ?? '') + ' ' + String(error.message).split('\\n')[0]);
      }
    });`;
  const child = spawn(process.execPath, ['-e', code], { env: { PATH: env.PATH, HOME: env.LLMHOOK_WORK, ...environment }, stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    ask: async () => {
      child.stdin.write('\n');
      return (await lines.next()).value;
    },
    end: () => child.stdin.end(),
  };
}

let settings, conf, token, adminToken, wanted, applied, environment;
const key = file('signing.key');
const tokenFile = file('identity-token');
/** As a delivery does it: the path stays, what it leads to is another file. */
async function deliver(configuration, ...later) {
  await good([configuration, 'sign', key, file('new'), ...later]);
  renameSync(file('new'), tokenFile);
  return readFileSync(tokenFile, 'utf8');
}
const parts = (jwt) => jwt.split('.').slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')));

await test('an admin key is refused for the federation, an OAuth token with org:admin is taken', async () => {
  const withKey = clientOf({ apiKey: readFileSync(env.LLMHOOK_SANDBOX_ADMIN_KEY_FILE, 'utf8').trim() });
  await assert.rejects(withKey.beta.organization.federation.issuers.list(), (error) => error instanceof Anthropic.PermissionDeniedError);
  adminToken = (await control('POST', '/outside', { action: 'log-in' })).value;
  const list = await clientOf({ authToken: adminToken }).beta.organization.federation.issuers.list();
  assert.deepEqual(list.data, []);
});

await test('what we apply is what the SDK then finds there', async () => {
  const { workspace_id } = await control('POST', '/outside', { action: 'create-workspace', name: 'vms' });
  settings = { workspace: workspace_id, organization: (await state()).organization_id, 'token-lifetime': '1h' };
  conf = configure(settings);
  await good([conf, 'key', key]);
  wanted = await good([conf, 'wanted', key]);
  applied = await good([conf, 'apply', key], `${adminToken}\n`);
  assert.equal(applied.problem, '');
  assert.ok(Object.values(applied).every((part) => typeof part === 'string' || part.made));
  const { federation, serviceAccounts } = clientOf({ authToken: adminToken }).beta.organization;
  const issuer = await federation.issuers.retrieve(applied.issuer.id);
  for (const field of ['name', 'issuer_url', 'max_jwt_lifetime_seconds']) assert.equal(issuer[field], wanted.issuer[field]);
  assert.deepEqual(issuer.jwks, wanted.issuer.jwks);
  assert.equal(issuer.check_jti, true);
  const account = await serviceAccounts.retrieve(applied['service account'].id);
  assert.equal(account.name, wanted.service_account.name);
  assert.equal(account.organization_role, 'developer');
  const rule = await federation.rules.retrieve(applied.rule.id);
  assert.equal(rule.issuer_id, issuer.id);
  assert.deepEqual(rule.match, { subject_prefix: 'llmhook:contract:*', audience: 'https://api.anthropic.com' });
  assert.equal(rule.target.service_account_id, account.id);
  assert.deepEqual(rule.workspace_ids, [workspace_id]);
  assert.equal(rule.oauth_scope, 'workspace:inference');
  const memberships = await serviceAccounts.workspaces.list(account.id);
  assert.ok(memberships.data.some((member) => member.workspace_id === workspace_id && !member.implicit));
});

await test('applied again, everything was there, and nothing is made twice, page by page', async () => {
  await knobs({ page_max: 1 });
  const { serviceAccounts } = clientOf({ authToken: adminToken }).beta.organization;
  await serviceAccounts.create({ name: 'somebody-elses' });
  const again = await good([conf, 'apply', key], `${adminToken}\n`);
  await knobs({ page_max: 0 });
  assert.equal(again.problem, '');
  for (const part of ['issuer', 'service account', 'membership', 'rule'])
    assert.deepEqual(again[part], { id: applied[part].id, made: false });
  assert.equal((await serviceAccounts.list()).data.length, 2);
});

await test('applied with a wrong token, or where something of the name is another, it says so and changes nothing', async () => {
  const withKey = await good([conf, 'apply', key], readFileSync(env.LLMHOOK_SANDBOX_ADMIN_KEY_FILE, 'utf8'));
  assert.match(withKey.problem, /^issuer: Anthropic does not take this token \(403\): it has to be an OAuth token with the scope org:admin/);
  const elsewhere = configure({ ...settings, issuer: 'https://another.example' }, 'elsewhere');
  const other = await good([elsewhere, 'apply', key], `${adminToken}\n`);
  assert.match(other.problem, /^issuer: fdis_\w+ is there, and its issuer_url is not what llmhook federation show prints/);
  assert.equal(other.rule.id, '');
  await good([conf, 'key', file('another.key')]);
  const otherKey = await good([conf, 'apply', file('another.key')], `${adminToken}\n`);
  assert.match(otherKey.problem, /its jwks is not what/);
});

await test('the environment is what the SDK reads', async () => {
  Object.assign(settings, { 'federation-rule': applied.rule.id, 'service-account': applied['service account'].id });
  conf = configure(settings);
  const { file: isFile, refresh, ...variables } = await good([conf, 'variables', tokenFile]);
  assert.equal(isFile, true);
  assert.equal(refresh, 1800 * 1000);
  environment = { ...variables, ANTHROPIC_BASE_URL: env.LLMHOOK_SANDBOX_URL }; // on the loopback: not told to a guest
  assert.deepEqual(variables, {
    ANTHROPIC_IDENTITY_TOKEN_FILE: tokenFile,
    ANTHROPIC_FEDERATION_RULE_ID: applied.rule.id,
    ANTHROPIC_ORGANIZATION_ID: settings.organization,
    ANTHROPIC_SERVICE_ACCOUNT_ID: applied['service account'].id,
    ANTHROPIC_WORKSPACE_ID: settings.workspace,
  });
});

await test('a token has the claims, and node verifies its signature against the key of the issuer', async () => {
  token = await deliver(conf);
  const [header, claims] = parts(token);
  const [jwk] = wanted.issuer.jwks.keys;
  assert.deepEqual(header, { alg: 'ES256', typ: 'JWT', kid: jwk.kid });
  assert.equal(claims.iss, wanted.issuer.issuer_url);
  assert.equal(claims.sub, 'llmhook:contract:3b1c7d52-5a0e-4f0e-9a55-0123456789ab');
  assert.equal(claims.aud, 'https://api.anthropic.com');
  assert.equal(claims.exp - claims.iat, 3600);
  assert.ok(Math.abs(claims.iat - Date.now() / 1000) < 60);
  assert.equal(claims.jti, undefined);
  assert.equal(claims.llmhook_key, 'llmhook:contract:3b1c7d52-5a0e-4f0e-9a55-0123456789ab:claude:g1');
  const [head, body, signature] = token.split('.');
  assert.ok(verify('sha256', Buffer.from(`${head}.${body}`), { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url')));
  assert.ok(token.length < 1024);
});

await test('programs with that environment call the model, each with an exchange of its own', async () => {
  const before = (await state()).exchanges;
  const one = program(environment);
  const two = program(environment);
  assert.equal(await one.ask(), 'ok This is the sandbox.');
  assert.equal(await one.ask(), 'ok This is the sandbox.');
  assert.equal(await two.ask(), 'ok This is the sandbox.');
  assert.equal((await state()).exchanges, before + 2);
  one.end();
  two.end();
});

await test('a running program goes on with the token that was put in the place of an expired one', async () => {
  // Each call exchanges anew: an access token that has less than 30 s left is not used by the SDK.
  const short = configure({ ...settings, 'token-lifetime': '20s' }, 'short');
  await knobs({ federation_leeway_s: 0, federation_least_token_s: 1 });
  await deliver(short, '-10');
  const running = program(environment);
  assert.equal(await running.ask(), 'ok This is the sandbox.');
  await deliver(short, '-60'); // as if the host had not come for a while: it has expired
  assert.match(await running.ask(), /^no WorkloadIdentityError 400 .*invalid_grant/);
  assert.equal(await lastRefusal(), 'exp is missing or in the past');
  await deliver(short, '-10');
  assert.equal(await running.ask(), 'ok This is the sandbox.');
  rmSync(tokenFile); // what a stop leaves: nothing
  assert.match(await running.ask(), /^no .*Failed to read identity token file/);
  running.end();
  await knobs({ federation_leeway_s: 30, federation_least_token_s: 60 });
});

await test('a token for another host, issuer or audience, or of another key or time, is refused', async () => {
  const refused = async (configuration, signingKey, later, reason) => {
    await good([configuration, 'sign', signingKey, tokenFile, ...(later ? [later] : [])]);
    const asking = program(environment);
    assert.match(await asking.ask(), /^no WorkloadIdentityError 400/);
    asking.end();
    assert.equal(await lastRefusal(), reason);
  };
  await refused(configure({ ...settings, issuer: 'https://another.example' }, 'a'), key, '', "iss is not the issuer's");
  await refused(configure({ ...settings, audience: 'https://another.example' }, 'b'), key, '', 'the rule is for another aud');
  await refused(configure({ ...settings, 'token-lifetime': '2h' }, 'c'), key, '', "it lives longer than the issuer's may");
  await refused(conf, file('another.key'), '', "its kid is none of the issuer's");
  await refused(conf, key, '120', 'iat is missing or lies in the future');
  await refused(conf, key, '-3700', 'exp is missing or in the past');
  // Somebody in a guest who makes it another domain's.
  const [head, body, signature] = (await deliver(conf)).split('.');
  const claims = JSON.parse(Buffer.from(body, 'base64url'));
  claims.sub = 'llmhook:contract:another';
  writeFileSync(tokenFile, `${head}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${signature}`);
  const asking = program(environment);
  assert.match(await asking.ask(), /^no WorkloadIdentityError 400/);
  asking.end();
  assert.equal(await lastRefusal(), 'the signature is wrong');
});

await test('exchanged on the host, the guest gets a ready access token', async () => {
  const host = configure({ ...settings, exchange: 'host' }, 'host');
  const { file: isFile, ...variables } = await good([host, 'variables', 'x']);
  assert.equal(isFile, false);
  assert.deepEqual(Object.keys(variables).sort(), ['ANTHROPIC_AUTH_TOKEN', 'refresh']);
  await good([host, 'mint', key, file('access-token')]);
  const access = readFileSync(file('access-token'), 'utf8');
  assert.match(access, /^sk-ant-oat01-/);
  const guest = program({ ANTHROPIC_AUTH_TOKEN: access, ANTHROPIC_BASE_URL: env.LLMHOOK_SANDBOX_URL });
  assert.equal(await guest.ask(), 'ok This is the sandbox.');
  guest.end();
  await assert.rejects(clientOf({ authToken: access }).beta.organization.federation.issuers.list(), (error) => error instanceof Anthropic.PermissionDeniedError);
  // Each has a jti of its own, and one that was seen is not taken again.
  await good([host, 'mint', key, file('access-token')]);
  assert.notEqual(readFileSync(file('access-token'), 'utf8'), access);
  await deliver(host);
  const replaying = program(environment);
  assert.equal(await replaying.ask(), 'ok This is the sandbox.');
  replaying.end();
  const again = program(environment);
  assert.match(await again.ask(), /^no WorkloadIdentityError 400/);
  again.end();
  assert.equal(await lastRefusal(), 'its jti was used before');
});

await test('an exchange on the host that is refused, or whose token would end too soon, says what to do', async () => {
  const wrong = configure({ ...settings, exchange: 'host', audience: 'https://another.example' }, 'wrong');
  const refused = await ours([wrong, 'mint', key, file('never')]);
  assert.equal(refused.stdout, 'refused\n');
  assert.match(refused.stderr, /Anthropic does not take this host's token \(400, invalid_grant\): compare what llmhook federation show prints/);
  const { federation } = clientOf({ authToken: adminToken }).beta.organization;
  const rule = await federation.rules.create({
    name: 'short', issuer_id: applied.issuer.id, match: { subject_prefix: 'llmhook:contract:*', audience: 'https://api.anthropic.com' },
    oauth_scope: 'workspace:inference', target: { type: 'service_account', service_account_id: applied['service account'].id },
    workspace_id: settings.workspace, token_lifetime_seconds: 600,
  });
  const short = configure({ ...settings, exchange: 'host', 'federation-rule': rule.id }, 'short-rule');
  const soon = await ours([short, 'mint', key, file('never')]);
  assert.equal(soon.stdout, 'refused\n');
  assert.match(soon.stderr, /access tokens live 600 s, and are replaced every 1800 s: raise the rule's token_lifetime_seconds, or lower token-lifetime/);
});

await test('an archived rule ends it: nothing is exchanged any more', async () => {
  const { federation } = clientOf({ authToken: adminToken }).beta.organization;
  await deliver(conf);
  const running = program(environment);
  await federation.rules.archive(applied.rule.id);
  assert.match(await running.ask(), /^no WorkloadIdentityError 400/);
  assert.equal(await lastRefusal(), 'there is no such rule');
  running.end();
  await assert.rejects(federation.issuers.archive(applied.issuer.id), (error) => error instanceof Anthropic.BadRequestError);
  assert.deepEqual((await federation.rules.list()).data.map((rule) => rule.name), ['short']);
});

await test('without its settings nothing is signed', async () => {
  const bare = configure({}, 'bare');
  const unset = await ours([bare, 'mint', key, file('never')]);
  assert.match(unset.stderr, /federation-rule is not set for claude: llmhook federation apply makes what is missing/);
});

// --- a service account for each domain ---

const uuid = '3b1c7d52-5a0e-4f0e-9a55-0123456789ab';
const other = '3b1c7d52-5a0e-4f0e-9a55-0123456789ac';
const containerName = `llmhook:contract:${uuid}:claude`;
const accountName = `llmhook-contract-${uuid}-claude`;
const adminFile = file('org-admin');
let perDomain, own, othersOwn;
const organization = () => clientOf({ authToken: adminToken }).beta.organization;

await test('per domain: what is to be entered is the issuer alone, and an account is refused before it is', async () => {
  writeFileSync(adminFile, adminToken, { mode: 0o600 });
  perDomain = configure({ workspace: settings.workspace, organization: settings.organization, 'service-account': 'per-domain', 'admin-key': `file:${adminFile}` }, 'per-domain');
  const entered = await good([perDomain, 'wanted', key]);
  assert.deepEqual(Object.keys(entered).sort(), ['issuer', 'workspace_id']);
  const again = await good([perDomain, 'apply', key], `${adminToken}\n`);
  assert.equal(again.problem, '');
  assert.deepEqual([again.issuer, again['service account'].id, again.rule.id], [{ id: applied.issuer.id, made: false }, '', '']);
  assert.equal((await good([perDomain, 'accounts', 'check'])).outcome, 'ok');
  const stranger = await good([perDomain, 'accounts', 'create', `llmhook:another:${uuid}:claude`]);
  assert.equal(stranger.outcome, 'refused');
  assert.match(stranger.problem, /Anthropic does not know this host as an issuer yet: llmhook federation apply/);
});

await test('per domain: with an admin key, or a token that has ended, it says so', async () => {
  const withKey = configure({ workspace: settings.workspace, organization: settings.organization, 'service-account': 'per-domain', 'admin-key': `file:${env.LLMHOOK_SANDBOX_ADMIN_KEY_FILE}` }, 'admin-key');
  const refused = await good([withKey, 'accounts', 'create', containerName]);
  assert.equal(refused.outcome, 'unauthorized');
  assert.match(refused.problem, /the token of admin-key \(403\): it has to be an OAuth token with the scope org:admin/);
  writeFileSync(adminFile, 'a-token-of-nobody', { mode: 0o600 });
  const ended = await good([perDomain, 'accounts', 'list']);
  assert.equal(ended.outcome, 'unauthorized');
  assert.match(ended.problem, /\(401\)/);
  writeFileSync(adminFile, adminToken, { mode: 0o600 });
});

await test('per domain: the SDK finds the account that we made, and its rule, which is for that domain alone', async () => {
  assert.deepEqual((await good([perDomain, 'accounts', 'find', containerName])).items, []);
  await knobs({ page_max: 1 });
  own = (await good([perDomain, 'accounts', 'create', `${containerName} dev-1`])).container;
  assert.match(own, /^svac_\w+-fdrl_\w+$/);
  const [accountId, ruleId] = own.split('-');
  assert.deepEqual((await good([perDomain, 'accounts', 'find', containerName])).items, [{ id: own, name: containerName }]);
  assert.deepEqual((await good([perDomain, 'accounts', 'create', containerName])).container, own, 'made again, it is the same');
  await knobs({ page_max: 0 });
  const account = await organization().serviceAccounts.retrieve(accountId);
  assert.deepEqual([account.name, account.description, account.organization_role], [accountName, `${containerName} dev-1`, 'developer']);
  const rule = await organization().federation.rules.retrieve(ruleId);
  assert.deepEqual(rule.match, { subject_prefix: `llmhook:contract:${uuid}`, audience: 'https://api.anthropic.com' });
  assert.deepEqual([rule.name, rule.target.service_account_id, rule.issuer_id, rule.oauth_scope], [accountName, accountId, applied.issuer.id, 'workspace:inference']);
  assert.deepEqual(rule.workspace_ids, [settings.workspace]);
  const memberships = await organization().serviceAccounts.workspaces.list(accountId);
  assert.ok(memberships.data.some((member) => member.workspace_id === settings.workspace && member.workspace_role === 'workspace_developer'));
});

await test('per domain: what was half made is gone on with, and is no account before', async () => {
  const name = `llmhook:contract:${other}:claude`;
  const half = await organization().serviceAccounts.create({ name: `llmhook-contract-${other}-claude` });
  assert.deepEqual((await good([perDomain, 'accounts', 'find', name])).items, []);
  assert.deepEqual((await good([perDomain, 'accounts', 'list'])).items.map((item) => item.id).sort(), [own, half.id].sort());
  othersOwn = (await good([perDomain, 'accounts', 'create', name])).container;
  assert.equal(othersOwn.split('-')[0], half.id);
});

await test('per domain: programs use it as they use the common one, and what each used is told apart', async () => {
  const guest = async (container, times) => {
    await deliver(perDomain);
    const { file: isFile, refresh, ...variables } = await good([perDomain, 'variables', tokenFile, container]);
    assert.deepEqual([variables.ANTHROPIC_SERVICE_ACCOUNT_ID, variables.ANTHROPIC_FEDERATION_RULE_ID], container.split('-'));
    const running = program({ ...variables, ANTHROPIC_BASE_URL: env.LLMHOOK_SANDBOX_URL });
    for (let i = 0; i < times; i++) assert.equal(await running.ask(), 'ok This is the sandbox.');
    running.end();
  };
  await guest(own, 3);
  // The other domain's rule does not take this one's subject.
  const { file: isFile, refresh, ...variables } = await good([perDomain, 'variables', tokenFile, othersOwn]);
  const stranger = program({ ...variables, ANTHROPIC_BASE_URL: env.LLMHOOK_SANDBOX_URL });
  assert.match(await stranger.ask(), /^no WorkloadIdentityError 400/);
  assert.equal(await lastRefusal(), 'the rule is for another sub');
  stranger.end();
  const { usage } = await good([perDomain, 'accounts', 'usage', own, othersOwn]);
  const tokens = usage.filter((row) => !row.bill);
  const bills = usage.filter((row) => row.bill);
  assert.deepEqual(tokens.map((row) => [row.container, row.output_tokens]), [[own, 24]]);
  assert.ok(bills.length > 0 && bills.every((row) => row.container === own && row.micro_dollars > 0), JSON.stringify(bills));
});

await test('per domain: exchanged on the host, it is exchanged by the rule of the domain', async () => {
  const host = configure({ workspace: settings.workspace, organization: settings.organization, 'service-account': 'per-domain', 'admin-key': `file:${adminFile}`, exchange: 'host' }, 'per-domain-host');
  await good([host, 'mint', key, file('own-access'), own]);
  assert.match(readFileSync(file('own-access'), 'utf8'), /^sk-ant-oat01-/);
  const none = await ours([host, 'mint', key, file('never'), 'account']);
  assert.match(none.stderr, /it has no service account of its own yet/);
});

await test('per domain: archived, neither is there any more, and nothing is exchanged', async () => {
  const [accountId, ruleId] = own.split('-');
  // Somebody has made another rule for it: it goes as well.
  await organization().federation.rules.create({
    name: 'by-hand', issuer_id: applied.issuer.id, match: { subject_prefix: `llmhook:contract:${uuid}` }, oauth_scope: 'workspace:inference',
    target: { type: 'service_account', service_account_id: accountId }, workspace_id: settings.workspace,
  });
  assert.equal((await good([perDomain, 'accounts', 'archive', own])).outcome, 'ok');
  assert.equal((await good([perDomain, 'accounts', 'archive', own])).outcome, 'ok', 'a second time');
  assert.notEqual((await organization().serviceAccounts.retrieve(accountId)).archived_at, null);
  assert.notEqual((await organization().federation.rules.retrieve(ruleId)).archived_at, null);
  assert.deepEqual((await good([perDomain, 'accounts', 'list'])).items.map((item) => item.id), [othersOwn]);
});

await test('per domain: one that comes again gets another account, whether the name was kept or not', async () => {
  const second = (await good([perDomain, 'accounts', 'create', containerName])).container;
  const account = await organization().serviceAccounts.retrieve(second.split('-')[0]);
  assert.equal(account.name, `${accountName}--2`);
  assert.deepEqual((await good([perDomain, 'accounts', 'find', containerName])).items.map((item) => item.id), [second]);
  await good([perDomain, 'accounts', 'archive', second]);
  await knobs({ federation_archived_names_kept: false });
  const third = (await good([perDomain, 'accounts', 'create', containerName])).container;
  assert.equal((await organization().serviceAccounts.retrieve(third.split('-')[0])).name, accountName);
  await knobs({ federation_archived_names_kept: true });
});

await test('no endpoint of the sandbox was left out', async () => {
  assert.deepEqual(await undriven('anthropic-federation'), []);
});

finish();
