// The official SDK as the sandbox's client. Anthropic publishes no specification of its Admin API: what the SDK's types
// say is the authority, and a field that they require is asserted here. Run by run-sandbox-contract.sh. Environment:
//   LLMHOOK_NODE_DIR                 where node_modules is
//   LLMHOOK_SANDBOX_URL              the sandbox
//   LLMHOOK_SANDBOX_ADMIN_KEY_FILE   the admin key
//   LLMHOOK_SANDBOX_CONTROL          the control socket
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { all, control, fault, finish, knobs, tests, undriven } from './sdk-harness.mjs';

const env = process.env;
const { Anthropic } = createRequire(`${env.LLMHOOK_NODE_DIR}/package.json`)('@anthropic-ai/sdk');
const adminKey = readFileSync(env.LLMHOOK_SANDBOX_ADMIN_KEY_FILE, 'utf8').trim();
const test = tests('sdk-anthropic.mjs');
const clientOf = (apiKey, options = {}) =>
  new Anthropic({ apiKey, authToken: null, baseURL: env.LLMHOOK_SANDBOX_URL, maxRetries: 0, ...options });

const client = clientOf(adminKey);
const { workspaces, apiKeys, spendLimits, rateLimits } = client.beta.organization;
const outside = (action, values = {}) => control('POST', '/outside', { action, ...values });
const count = (key) => clientOf(key).messages.countTokens({ model: 'claude-sonnet-5-5', messages: [{ role: 'user', content: 'hello' }] });
const call = (key) => clientOf(key).messages.create({ model: 'claude-sonnet-5-5', max_tokens: 8, messages: [{ role: 'user', content: 'hello' }] });

/** The SDK throws exactly this class, with this status, type and code. */
async function throws(promise, kind, status, type, code = null) {
  const error = await promise.then(
    () => assert.fail(`expected ${kind.name}, but it succeeded`),
    (thrown) => thrown,
  );
  assert.ok(error instanceof kind, `${error.constructor.name}, not ${kind.name}`);
  assert.equal(error.status, status);
  if (status === undefined) return;
  assert.equal(error.type, type);
  assert.equal(error.errorCode, code);
  assert.ok(error.requestID, 'request-id is missing');
}
const isTime = (text) => assert.ok(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*Z$/.test(text) && !Number.isNaN(Date.parse(text)));

let workspace, made, key;

await test('workspaces.create', async () => {
  workspace = await workspaces.create({ name: 'contract-vm', tags: { llmhook: 'llmhook:host:vm' } });
  assert.match(workspace.id, /^wrkspc_\w+$/);
  assert.equal(workspace.type, 'workspace');
  assert.equal(workspace.name, 'contract-vm');
  assert.deepEqual(workspace.tags, { llmhook: 'llmhook:host:vm' });
  assert.equal(workspace.archived_at, null);
  isTime(workspace.created_at);
  for (const field of ['compartment_id', 'data_residency', 'display_color', 'external_key_id', 'user_profile_id'])
    assert.ok(field in workspace, field);
});

await test('workspaces.retrieve and workspaces.update', async () => {
  const renamed = await workspaces.update(workspace.id, { name: 'contract-vm-renamed' });
  assert.equal(renamed.name, 'contract-vm-renamed');
  assert.deepEqual(await workspaces.retrieve(workspace.id), renamed);
});

await test('workspaces.list pages by itself, with and without archived ones and the default one', async () => {
  const ids = [];
  for (let i = 0; i < 7; i += 1) ids.push((await workspaces.create({ name: 'paged' })).id);
  await workspaces.archive(ids[3]);
  await knobs({ page_max: 3 });
  const first = await workspaces.list({ limit: 100 });
  assert.equal(first.data.length, 3);
  assert.equal(first.has_more, true);
  assert.equal(first.last_id, first.data[2].id);
  const active = (await all(workspaces.list({ limit: 100 }))).map((item) => item.id);
  const every = (await all(workspaces.list({ include_archived: true, include_default: true }))).map((item) => item.id);
  await knobs({ page_max: 0 });
  assert.deepEqual(ids.filter((id) => active.includes(id)), ids.filter((id) => id !== ids[3]));
  assert.deepEqual(ids.filter((id) => every.includes(id)), ids);
  assert.equal(every.length, active.length + 2);
  for (const id of ids) if (id !== ids[3]) await workspaces.archive(id);
});

await test('workspaces.create: a name too long and too many of them are BadRequestError', async () => {
  await throws(workspaces.create({ name: 'x'.repeat(41) }), Anthropic.BadRequestError, 400, 'invalid_request_error');
  await knobs({ workspace_limit: 1 });
  await throws(workspaces.create({ name: 'one too many' }), Anthropic.BadRequestError, 400, 'invalid_request_error');
  await knobs({ workspace_limit: 100 });
});

await test('a key can only be made in the Console: POST answers 405', async () => {
  await throws(client.post('/v1/organizations/api_keys', { body: { name: 'no' } }), Anthropic.APIError, 405, 'invalid_request_error');
  made = await outside('create-api-key', { name: 'pool 1', workspace_id: workspace.id });
  assert.match(made.api_key_id, /^apikey_\w+$/);
  assert.match(made.value, /^sk-ant-api03-\w{40,}$/);
});

await test('apiKeys.retrieve', async () => {
  key = await apiKeys.retrieve(made.api_key_id);
  assert.equal(key.type, 'api_key');
  assert.equal(key.name, 'pool 1');
  assert.equal(key.status, 'active');
  assert.equal(key.expires_at, null);
  assert.equal(key.principal, null);
  assert.equal(key.created_by.type, 'user');
  assert.deepEqual(key.scope, { type: 'workspace', workspace_id: workspace.id });
  assert.ok(!('workspace_id' in key), 'the newest version leaves it out');
  assert.ok(key.partial_key_hint === `${made.value.slice(0, 16)}...${made.value.slice(-4)}`, 'partial_key_hint');
  isTime(key.created_at);
  const state = await control('GET', '/state');
  const known = state.anthropic.workspaces.find((item) => item.id === workspace.id).keys[0];
  assert.deepEqual([known.sha256, known.live], [createHash('sha256').update(made.value).digest('hex'), true]);
});

await test('the version before has workspace_id as well, null for the default workspace', async () => {
  const old = clientOf(adminKey, { defaultHeaders: { 'anthropic-version': '2023-06-01' } });
  const elsewhere = await outside('create-api-key');
  assert.equal((await old.beta.organization.apiKeys.retrieve(made.api_key_id)).workspace_id, workspace.id);
  const seen = await old.beta.organization.apiKeys.retrieve(elsewhere.api_key_id);
  assert.deepEqual([seen.workspace_id, seen.scope.workspace_id], [null, elsewhere.workspace_id]);
  await apiKeys.update(elsewhere.api_key_id, { status: 'archived' });
});

await test('apiKeys.list: pages, status and workspace', async () => {
  const more = [];
  for (let i = 0; i < 4; i += 1) more.push((await outside('create-api-key', { workspace_id: workspace.id })).api_key_id);
  await apiKeys.update(more[1], { status: 'inactive' });
  await outside('set-api-key', { api_key_id: more[2], status: 'expired' });
  await knobs({ page_max: 2 });
  const ids = async (query) => (await all(apiKeys.list({ workspace_id: workspace.id, ...query }))).map((item) => item.id);
  assert.deepEqual(await ids({ limit: 1000 }), [made.api_key_id, ...more]);
  assert.deepEqual(await ids({ status: 'inactive' }), [more[1]]);
  assert.deepEqual(await ids({ status: 'expired' }), [more[2]]);
  assert.deepEqual(await ids({ status: 'active' }), [made.api_key_id, more[0], more[3]]);
  assert.deepEqual(await ids({ workspace_id: 'wrkspc_none' }), []);
  await knobs({ page_max: 0 });
  await throws(apiKeys.update(more[2], { status: 'active' }), Anthropic.BadRequestError, 400, 'invalid_request_error');
});

await test('apiKeys.update: renamed; inactive and active again; archived for good', async () => {
  const renamed = await apiKeys.update(made.api_key_id, { name: 'llmhook:host:vm:anthropic:g1' });
  assert.deepEqual(renamed, { ...key, name: 'llmhook:host:vm:anthropic:g1' });
  assert.ok((await count(made.value)).input_tokens > 0);
  assert.equal((await apiKeys.update(made.api_key_id, { status: 'inactive' })).status, 'inactive');
  await throws(count(made.value), Anthropic.AuthenticationError, 401, 'authentication_error');
  await apiKeys.update(made.api_key_id, { status: 'active' });
  assert.ok((await count(made.value)).input_tokens > 0);
  const other = await outside('create-api-key', { workspace_id: workspace.id });
  assert.equal((await apiKeys.update(other.api_key_id, { status: 'archived' })).status, 'archived');
  await throws(count(other.value), Anthropic.AuthenticationError, 401, 'authentication_error');
  await throws(apiKeys.update(other.api_key_id, { status: 'active' }), Anthropic.BadRequestError, 400, 'invalid_request_error');
  assert.equal((await apiKeys.retrieve(other.api_key_id)).status, 'archived');
});

await test('rateLimits.list; workspaces.rateLimits.list and update', async () => {
  const groups = await all(rateLimits.list({ limit: 2 }));
  assert.deepEqual(groups.map((item) => [item.type, item.group.type]), [['rate_limit', 'model_group'], ['rate_limit', 'model_group'], ['rate_limit', 'batch']]);
  assert.ok(groups[0].models.includes('claude-sonnet-5-5'));
  assert.deepEqual(await all(workspaces.rateLimits.list(workspace.id)), []);
  const changed = await workspaces.rateLimits.update(groups[0].id, { workspace_id: workspace.id, limits: [{ type: 'requests_per_minute', value: 7 }] });
  assert.equal(changed.type, 'workspace_rate_limit');
  assert.equal(changed.rate_limit_id, groups[0].id);
  const set = await all(workspaces.rateLimits.list(workspace.id));
  assert.deepEqual(set.map((item) => item.limits), [[{ type: 'requests_per_minute', value: 7, org_limit: 4000, source: { type: 'workspace' } }]]);
  const inherited = await all(workspaces.rateLimits.list(workspace.id, { include_inherited: true, group_type: 'model_group' }));
  assert.deepEqual(inherited[0].limits.map((item) => item.source.type), ['workspace', 'organization', 'organization']);
  await workspaces.rateLimits.update(groups[0].id, { workspace_id: workspace.id, limits: [{ type: 'requests_per_minute', value: null }] });
  assert.deepEqual(await all(workspaces.rateLimits.list(workspace.id)), []);
  await throws(workspaces.rateLimits.update('rl_none', { workspace_id: workspace.id, limits: [] }), Anthropic.NotFoundError, 404, 'not_found_error');
});

const limitOf = (amount) => ({ amount, scope: { type: 'workspace', workspace_id: workspace.id }, period: 'monthly' });

await test('spendLimits: set, read back, replaced, listed, deleted', async () => {
  const set = await spendLimits.set(limitOf('2500'));
  assert.match(set.id, /^spl_\w+$/);
  assert.deepEqual([set.type, set.amount, set.currency, set.period, set.is_enabled], ['spend_limit', '2500', 'USD', 'monthly', true]);
  assert.deepEqual(set.scope, { type: 'workspace', workspace_id: workspace.id });
  isTime(set.created_at);
  isTime(set.updated_at);
  assert.deepEqual(await spendLimits.retrieve(set.id), set);
  const again = await spendLimits.set(limitOf('1'));
  assert.deepEqual([again.id, again.amount], [set.id, '1']);
  const every = await all(spendLimits.list({ limit: 1 }));
  assert.deepEqual(every.map((item) => item.scope.type), ['workspace', 'usage_tier']);
  assert.deepEqual((await all(spendLimits.list({ workspace_id: workspace.id }))).map((item) => item.id), [set.id]);
  assert.deepEqual(await spendLimits.delete(set.id), { id: set.id, type: 'spend_limit_deleted' });
  await throws(spendLimits.retrieve(set.id), Anthropic.NotFoundError, 404, 'not_found_error');
});

await test('spendLimits where they are not enabled: 403 spend_limits_admin_api_writes_not_enabled', async () => {
  const code = 'spend_limits_admin_api_writes_not_enabled';
  await knobs({ anthropic_spend_limits: 'forbid' });
  await throws(spendLimits.set(limitOf('2500')), Anthropic.PermissionDeniedError, 403, 'permission_error', code);
  await throws(spendLimits.retrieve('spl_none'), Anthropic.PermissionDeniedError, 403, 'permission_error', code);
  await throws(spendLimits.delete('spl_none'), Anthropic.PermissionDeniedError, 403, 'permission_error', code);
  await knobs({ anthropic_spend_limits: 'allow' });
});

await test('a key calls a model; at its spend limit the workspace is refused', async () => {
  const message = await call(made.value);
  assert.deepEqual([message.type, message.role, message.stop_reason], ['message', 'assistant', 'end_turn']);
  assert.equal(message.content[0].text, 'This is the sandbox.');
  assert.ok(message.usage.input_tokens > 0 && message.usage.output_tokens === 8);
  await outside('set-workspace-spend', { workspace_id: workspace.id, cents: 300 });
  await spendLimits.set(limitOf('300'));
  await throws(call(made.value), Anthropic.BadRequestError, 400, 'invalid_request_error');
  assert.ok((await count(made.value)).input_tokens > 0, 'counting costs nothing');
  await spendLimits.set(limitOf('301'));
  assert.equal((await call(made.value)).type, 'message');
});

// The SDK has no types for these two: that the fields are the real ones is not shown here.
await test('usage_report and cost_report, of which the SDK has no types', async () => {
  const starting_at = new Date(Date.now() - 3 * 86400e3).toISOString();
  const get = (path, query) => client.get(`/v1/organizations/${path}`, { query: { starting_at, ...query } });
  const usage = await get('usage_report/messages', { group_by: ['api_key_id', 'model'], api_key_ids: [made.api_key_id], bucket_width: '1d' });
  const used = usage.data.flatMap((bucket) => bucket.results);
  assert.deepEqual(used.map((item) => [item.api_key_id, item.model]), [[made.api_key_id, 'claude-sonnet-5-5']]);
  assert.ok(used[0].uncached_input_tokens > 0 && used[0].output_tokens === 16);
  isTime(usage.data[0].starting_at);
  const first = await get('cost_report', { group_by: ['workspace_id'], limit: 2 });
  assert.deepEqual([first.data.length, first.has_more], [2, true]);
  const rest = await get('cost_report', { group_by: ['workspace_id'], limit: 2, page: first.next_page });
  assert.deepEqual([rest.data.length, rest.has_more, rest.next_page], [2, false, null]);
  const cost = rest.data[1].results.find((item) => item.workspace_id === workspace.id);
  assert.equal(cost.currency, 'USD');
  assert.match(cost.amount, /^300\.\d+$/); // cents
});

await test('AuthenticationError, PermissionDeniedError and NotFoundError', async () => {
  const as = (apiKey) => clientOf(apiKey).beta.organization;
  await throws(as('sk-ant-admin-wrong').workspaces.list(), Anthropic.AuthenticationError, 401, 'authentication_error');
  await throws(as(made.value).workspaces.list(), Anthropic.PermissionDeniedError, 403, 'permission_error');
  await throws(call(adminKey), Anthropic.AuthenticationError, 401, 'authentication_error');
  await throws(workspaces.retrieve('wrkspc_none'), Anthropic.NotFoundError, 404, 'not_found_error');
  await throws(apiKeys.retrieve('apikey_none'), Anthropic.NotFoundError, 404, 'not_found_error');
});

await test('without a known anthropic-version nothing is answered', async () => {
  const odd = clientOf(adminKey, { defaultHeaders: { 'anthropic-version': '1999-01-01' } });
  await throws(odd.beta.organization.workspaces.list(), Anthropic.BadRequestError, 400, 'invalid_request_error');
});

await test('RateLimitError, OverloadedError, and a dropped connection', async () => {
  const limited = { match: 'GET /v1/organizations/workspaces/*', mode: 'status' };
  await fault({ ...limited, status: 429, retry_after: 1 });
  await throws(workspaces.retrieve(workspace.id), Anthropic.RateLimitError, 429, 'rate_limit_error');
  await fault({ ...limited, status: 529 });
  await throws(workspaces.retrieve(workspace.id), Anthropic.InternalServerError, 529, 'overloaded_error');
  await fault({ ...limited, mode: 'drop-before', status: undefined });
  await throws(workspaces.retrieve(workspace.id), Anthropic.APIConnectionError, undefined);
});

await test('workspaces.archive archives its keys and refuses more', async () => {
  const archived = await workspaces.archive(workspace.id);
  isTime(archived.archived_at);
  await throws(count(made.value), Anthropic.AuthenticationError, 401, 'authentication_error');
  assert.equal((await apiKeys.retrieve(made.api_key_id)).status, 'archived');
  await throws(workspaces.archive(workspace.id), Anthropic.BadRequestError, 400, 'invalid_request_error');
  await throws(spendLimits.set(limitOf('5')), Anthropic.BadRequestError, 400, 'invalid_request_error');
});

await test('no endpoint of the sandbox was left out', async () => {
  assert.deepEqual(await undriven('anthropic'), []);
});

finish();
