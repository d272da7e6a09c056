// The official SDK as the sandbox's client. Prints TAP lines without numbers; exits 1 if one failed.
// Run by run-sandbox-contract.sh, against the sandbox itself and through Prism. Environment:
//   LLMHOOK_NODE_DIR                 where node_modules is
//   LLMHOOK_SANDBOX_URL              where the administration API is (the sandbox or Prism)
//   LLMHOOK_SANDBOX_DIRECT_URL       the sandbox itself, for the model API
//   LLMHOOK_SANDBOX_ADMIN_KEY_FILE   the admin key
//   LLMHOOK_SANDBOX_CONTROL          the control socket
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { all, control, fault, finish, knobs, tests, undriven } from './sdk-harness.mjs';

const env = process.env;
const OpenAI = createRequire(`${env.LLMHOOK_NODE_DIR}/package.json`)('openai').OpenAI;
const adminKey = readFileSync(env.LLMHOOK_SANDBOX_ADMIN_KEY_FILE, 'utf8').trim();
const throughPrism = env.LLMHOOK_SANDBOX_URL !== env.LLMHOOK_SANDBOX_DIRECT_URL;

const adminClient = (options = {}) =>
  new OpenAI({
    adminAPIKey: adminKey,
    apiKey: null,
    baseURL: `${env.LLMHOOK_SANDBOX_URL}/v1`,
    maxRetries: 0,
    ...options,
  });
const modelClient = (apiKey) =>
  new OpenAI({ apiKey, baseURL: `${env.LLMHOOK_SANDBOX_DIRECT_URL}/v1`, maxRetries: 0 });

const client = adminClient();
const { projects, adminAPIKeys, usage } = client.admin.organization;

const test = tests('sdk-openai.mjs');

/** The SDK throws exactly this class, with this status and code. */
async function throws(promise, kind, status, code) {
  const error = await promise.then(
    () => assert.fail(`expected ${kind.name}, but it succeeded`),
    (thrown) => thrown,
  );
  assert.equal(error.constructor.name, kind.name);
  assert.equal(error.status, status);
  assert.equal(error.code ?? null, code);
  if (status !== undefined) assert.ok(error.requestID, 'x-request-id is missing');
}
const unixNow = () => Math.floor(Date.now() / 1000);

let project, minted, second, key;

await test('projects.create', async () => {
  const before = unixNow();
  project = await projects.create({ name: 'contract-vm' });
  assert.match(project.id, /^proj_\w+$/);
  assert.equal(project.object, 'organization.project');
  assert.equal(project.name, 'contract-vm');
  assert.equal(project.status, 'active');
  assert.equal(project.archived_at, null);
  assert.ok(project.created_at >= before && project.created_at <= unixNow() + 1);
});

await test('projects.retrieve and projects.update', async () => {
  const renamed = await projects.update(project.id, { name: 'contract-vm-renamed' });
  assert.equal(renamed.name, 'contract-vm-renamed');
  assert.deepEqual(await projects.retrieve(project.id), renamed);
});

await test('projects.list pages by itself, with and without archived ones', async () => {
  const made = [];
  for (let i = 0; i < 7; i += 1) made.push((await projects.create({ name: 'paged' })).id);
  await projects.archive(made[3]);
  await knobs({ page_max: 3 });
  const first = await projects.list({ limit: 100 });
  assert.equal(first.data.length, 3);
  assert.equal(first.has_more, true);
  assert.equal(first.last_id, first.data[2].id);
  const active = (await all(projects.list({ limit: 100 }))).map((item) => item.id);
  const every = (await all(projects.list({ include_archived: true }))).map((item) => item.id);
  await knobs({ page_max: 0 });
  assert.deepEqual(made.filter((id) => active.includes(id)), made.filter((id) => id !== made[3]));
  assert.deepEqual(made.filter((id) => every.includes(id)), made);
  assert.equal(new Set(every).size, every.length);
  for (const id of made) if (id !== made[3]) await projects.archive(id);
});

await test('serviceAccounts.create shows the key once', async () => {
  minted = await projects.serviceAccounts.create(project.id, { name: 'generation-1' });
  assert.match(minted.id, /^user-\w+$/);
  assert.equal(minted.role, 'member');
  assert.equal(minted.object, 'organization.project.service_account');
  assert.equal(minted.api_key.object, 'organization.project.service_account.api_key');
  assert.match(minted.api_key.value, /^sk-svcacct-\w{40,}$/);
  const sha256 = createHash('sha256').update(minted.api_key.value).digest('hex');
  const state = await control('GET', '/state');
  const known = state.projects.find((item) => item.id === project.id).keys;
  assert.deepEqual(known.map((item) => [item.id, item.sha256, item.live]), [[minted.api_key.id, sha256, true]]);
});

await test('serviceAccounts.create can leave the key out', async () => {
  const bare = await projects.serviceAccounts.create(project.id, {
    name: 'bare',
    create_service_account_only: true,
  });
  assert.equal(bare.api_key, null);
  assert.equal(bare.role, 'none');
  second = await projects.serviceAccounts.apiKeys.create(bare.id, {
    project_id: project.id,
    name: 'extra',
  });
  assert.equal(second.object, 'organization.project.service_account.api_key');
  assert.equal(second.name, 'extra');
  assert.ok((await modelClient(second.value).models.list()).data.length > 0);
});

await test('serviceAccounts.create takes expires_in_seconds, or refuses it', async () => {
  const body = { name: 'mortal', expires_in_seconds: 3600 };
  await projects.serviceAccounts.create(project.id, body);
  await knobs({ expires_in_seconds: 'refuse' });
  await throws(projects.serviceAccounts.create(project.id, body), OpenAI.BadRequestError, 400, 'unknown_parameter');
  await knobs({ expires_in_seconds: 'accept' });
});

await test('serviceAccounts.retrieve, update and list', async () => {
  const of = { project_id: project.id };
  const { api_key, ...plain } = minted;
  assert.deepEqual(await projects.serviceAccounts.retrieve(minted.id, of), plain);
  const renamed = await projects.serviceAccounts.update(minted.id, { ...of, name: 'renamed' });
  assert.deepEqual(renamed, { ...plain, name: 'renamed' });
  await knobs({ page_max: 1 });
  const names = (await all(projects.serviceAccounts.list(project.id))).map((item) => item.name);
  await knobs({ page_max: 0 });
  assert.deepEqual(names, ['renamed', 'bare', 'mortal']);
});

await test('apiKeys.list hides some keys unless asked for any', async () => {
  const ids = async (query) => (await all(projects.apiKeys.list(project.id, query))).map((item) => item.id);
  const shown = await ids({});
  assert.ok(shown.includes(minted.api_key.id) && !shown.includes(second.id));
  assert.deepEqual(await ids({ owner_project_access: 'inactive' }), [second.id]);
  assert.equal((await ids({ owner_project_access: 'any', limit: 1 })).length, 3);
});

await test('apiKeys.retrieve', async () => {
  key = await projects.apiKeys.retrieve(minted.api_key.id, { project_id: project.id });
  assert.equal(key.object, 'organization.project.api_key');
  assert.equal(key.owner.type, 'service_account');
  assert.equal(key.owner.service_account.id, minted.id);
  const { value } = minted.api_key;
  assert.ok(key.redacted_value === `${value.slice(0, 11)}***${value.slice(-4)}`, 'redacted');
});

await test("apiKeys.delete of a service account's key: refused, or allowed", async () => {
  const remove = () => projects.apiKeys.delete(second.id, { project_id: project.id });
  await throws(remove(), OpenAI.BadRequestError, 400, null);
  await knobs({ key_delete: 'allow' });
  assert.deepEqual(await remove(), { object: 'organization.project.api_key.deleted', id: second.id, deleted: true });
  await knobs({ key_delete: 'refuse' });
  await throws(modelClient(second.value).models.list(), OpenAI.AuthenticationError, 401, 'invalid_api_key');
  await throws(remove(), OpenAI.NotFoundError, 404, 'not_found');
});

await test('rateLimits.listRateLimits and updateRateLimit', async () => {
  const limits = await all(projects.rateLimits.listRateLimits(project.id));
  assert.deepEqual(limits.map((item) => item.model), ['gpt-4.1', 'gpt-4.1-mini', 'gpt-4o']);
  const changed = await projects.rateLimits.updateRateLimit(limits[2].id, {
    project_id: project.id,
    max_requests_per_1_minute: 7,
  });
  assert.deepEqual(changed, { ...limits[2], max_requests_per_1_minute: 7 });
  assert.deepEqual((await all(projects.rateLimits.listRateLimits(project.id)))[2], changed);
  await throws(
    projects.rateLimits.updateRateLimit('rl-nothing', { project_id: project.id, max_requests_per_1_minute: 7 }),
    OpenAI.NotFoundError, 404, 'not_found',
  );
});

await test('spendLimit: none, set, read back, replaced, deleted', async () => {
  const limit = { threshold_amount: 2500, currency: 'USD', interval: 'month' };
  await throws(projects.spendLimit.retrieve(project.id), OpenAI.NotFoundError, 404, 'not_found');
  const set = await projects.spendLimit.update(project.id, limit);
  assert.deepEqual(set, { object: 'project.spend_limit', ...limit, enforcement: { status: 'enforcing' } });
  assert.deepEqual(await projects.spendLimit.retrieve(project.id), set);
  assert.equal((await projects.spendLimit.update(project.id, { ...limit, threshold_amount: 1 })).threshold_amount, 1);
  assert.deepEqual(await projects.spendLimit.delete(project.id), { object: 'project.spend_limit.deleted', deleted: true });
  await throws(projects.spendLimit.delete(project.id), OpenAI.NotFoundError, 404, 'not_found');
});

await test('spendAlerts, with and without the reported bug', async () => {
  const alert = {
    threshold_amount: 100,
    currency: 'USD',
    interval: 'month',
    notification_channel: { type: 'email', recipients: ['owner@example.org'] },
  };
  const limit = { threshold_amount: 2500, currency: 'USD', interval: 'month' };
  await projects.spendLimit.update(project.id, limit);
  const made = await projects.spendAlerts.create(project.id, alert);
  assert.deepEqual(made, { id: made.id, object: 'project.spend_alert', ...alert });
  assert.equal((await projects.spendLimit.retrieve(project.id)).threshold_amount, 2500);
  assert.deepEqual(await projects.spendAlerts.retrieve(made.id, { project_id: project.id }), made);
  await knobs({ spend_alert_bug: true });
  const bad = await projects.spendAlerts.create(project.id, { ...alert, threshold_amount: 50 });
  const after = await projects.spendLimit.retrieve(project.id);
  assert.deepEqual([after.threshold_amount, after.enforcement.status], [50, 'inactive']);
  await knobs({ spend_alert_bug: false });
  assert.deepEqual((await all(projects.spendAlerts.list(project.id, { order: 'desc' }))).map((item) => item.id), [bad.id, made.id]);
  for (const id of [made.id, bad.id]) {
    const gone = await projects.spendAlerts.delete(id, { project_id: project.id });
    assert.deepEqual(gone, { id, object: 'project.spend_alert.deleted', deleted: true });
  }
  await projects.spendLimit.delete(project.id);
});

await test('adminAPIKeys.create and delete', async () => {
  const before = (await all(adminAPIKeys.list())).length;
  const made = await adminAPIKeys.create({ name: 'sdk' });
  assert.equal(made.name, 'sdk');
  assert.match(made.value, /^sk-admin-/);
  assert.equal((await adminAPIKeys.retrieve(made.id)).value, undefined);
  assert.equal((await all(adminAPIKeys.list())).length, before + 1);
  assert.deepEqual(await adminAPIKeys.delete(made.id), { id: made.id, object: 'organization.admin_api_key.deleted', deleted: true });
  assert.equal((await all(adminAPIKeys.list())).length, before);
  await assert.rejects(adminAPIKeys.retrieve(made.id), { status: 404 });
});

await test('adminAPIKeys.list and retrieve', async () => {
  const keys = await all(adminAPIKeys.list());
  assert.equal(keys.length, 1);
  assert.equal(keys[0].object, 'organization.admin_api_key');
  assert.ok(!keys[0].redacted_value.includes(adminKey));
  assert.deepEqual(await adminAPIKeys.retrieve(keys[0].id), keys[0]);
});

await test('a client with the minted key lists models and calls one', async () => {
  const model = modelClient(minted.api_key.value);
  assert.deepEqual((await all(model.models.list())).map((item) => item.id), ['gpt-4.1', 'gpt-4.1-mini', 'gpt-4o']);
  assert.equal((await model.models.retrieve('gpt-4o')).id, 'gpt-4o');
  const chat = await model.chat.completions.create({ model: 'gpt-4o', messages: [{ role: 'user', content: 'hello' }] });
  assert.equal(chat.choices[0].message.content, 'This is the sandbox.');
  const response = await model.responses.create({ model: 'gpt-4.1', input: 'hello' });
  assert.equal(response.output_text, 'This is the sandbox.');
  await throws(model.models.retrieve('gpt-0'), OpenAI.NotFoundError, 404, 'model_not_found');
});

await test('at its spend limit a project gets RateLimitError project_spend_limit_exceeded', async () => {
  const model = modelClient(minted.api_key.value);
  const call = () => model.responses.create({ model: 'gpt-4o', input: 'hello' });
  await control('POST', '/outside', { action: 'set-spend', project_id: project.id, cents: 300 });
  await projects.spendLimit.update(project.id, { threshold_amount: 300, currency: 'USD', interval: 'month' });
  await throws(call(), OpenAI.RateLimitError, 429, 'project_spend_limit_exceeded');
  await projects.spendLimit.update(project.id, { threshold_amount: 301, currency: 'USD', interval: 'month' });
  assert.equal((await call()).status, 'completed');
});

await test('usage.costs: by project and key, in day buckets, with pages', async () => {
  const start_time = unixNow() - 3 * 86400;
  const page = await usage.costs({ start_time, limit: 2, project_ids: [project.id], group_by: ['project_id', 'api_key_id'] });
  assert.equal(page.data.length, 2);
  assert.equal(page.has_more, true);
  const rest = await usage.costs({ start_time, limit: 2, project_ids: [project.id], group_by: ['project_id', 'api_key_id'], page: page.next_page });
  assert.deepEqual([rest.data.length, rest.has_more, rest.next_page], [2, false, null]);
  assert.equal(rest.data[0].start_time, page.data[1].end_time);
  const results = rest.data[1].results;
  const sum = results.reduce((total, item) => total + item.amount.value, 0);
  assert.ok(Math.abs(sum - 3) < 0.01, `${sum} dollars`);
  assert.ok(results.every((item) => item.project_id === project.id && item.amount.currency === 'usd'));
  assert.ok(results.some((item) => item.api_key_id === minted.api_key.id && item.amount.value > 0));
  const other = await usage.costs({ start_time, project_ids: ['proj_none'] });
  assert.ok(other.data.every((bucket) => bucket.results.length === 0));
});

await test('usage.completions: tokens by key and model', async () => {
  const page = await usage.completions({
    start_time: unixNow() - 3600,
    bucket_width: '1h',
    api_key_ids: [minted.api_key.id],
    group_by: ['api_key_id', 'model'],
  });
  const results = page.data.flatMap((bucket) => bucket.results);
  const requests = (model) =>
    results.filter((item) => item.model === model).reduce((total, item) => total + item.num_model_requests, 0);
  assert.deepEqual([requests('gpt-4o'), requests('gpt-4.1')], [2, 1]);
  assert.ok(results.every((item) => item.api_key_id === minted.api_key.id && item.output_tokens > 0));
});

await test('AuthenticationError with a wrong admin key', async () => {
  const wrong = adminClient({ adminAPIKey: 'sk-admin-wrong' });
  await throws(wrong.admin.organization.projects.list(), OpenAI.AuthenticationError, 401, 'invalid_api_key');
});

await test('PermissionDeniedError with a minted key', async () => {
  const minor = adminClient({ adminAPIKey: minted.api_key.value });
  await throws(minor.admin.organization.projects.list(), OpenAI.PermissionDeniedError, 403, 'insufficient_permissions');
});

await test('NotFoundError for what is not there', async () => {
  const of = { project_id: project.id };
  await throws(projects.retrieve('proj_none'), OpenAI.NotFoundError, 404, 'not_found');
  await throws(projects.serviceAccounts.retrieve('user-none', of), OpenAI.NotFoundError, 404, 'not_found');
  await throws(projects.apiKeys.retrieve('key_none', of), OpenAI.NotFoundError, 404, 'not_found');
});

await test('RateLimitError; the SDK retries after what Retry-After-Ms says', async () => {
  const limited = { match: 'GET /v1/organization/projects/*', mode: 'status', status: 429, retry_after_ms: 30, retry_after: 1 };
  await fault({ ...limited, times: 1 });
  await throws(projects.retrieve(project.id), OpenAI.RateLimitError, 429, 'rate_limit_exceeded');
  const since = (await control('GET', '/requests')).last_seq;
  await fault({ ...limited, times: 2 });
  const patient = adminClient({ maxRetries: 2 });
  assert.equal((await patient.admin.organization.projects.retrieve(project.id)).id, project.id);
  const seen = (await control('GET', `/requests?since=${since}`)).requests;
  assert.deepEqual(seen.map((item) => item.status), [429, 429, 200]);
});

await test('a policy that forbids minting is a PermissionDeniedError', async () => {
  await knobs({ minting: 'forbid' });
  await throws(
    projects.serviceAccounts.create(project.id, { name: 'a' }),
    OpenAI.PermissionDeniedError, 403, 'api_key_creation_forbidden',
  );
  await knobs({ minting: 'allow' });
});

if (!throughPrism) {
  // Prism would answer these itself, so they are asked of the sandbox alone.
  await test('BadRequestError for what the specification does not allow', async () => {
    await throws(projects.create({}), OpenAI.BadRequestError, 400, 'missing_required_parameter');
    await throws(
      projects.spendLimit.update(project.id, { threshold_amount: 0, currency: 'USD', interval: 'month' }),
      OpenAI.BadRequestError, 400, 'invalid_value',
    );
  });
  await test('APIConnectionError when the connection is dropped', async () => {
    await fault({ match: 'GET /v1/organization/projects', mode: 'drop-before' });
    await throws(projects.list(), OpenAI.APIConnectionError, undefined, null);
  });
}

await test('serviceAccounts.delete kills the key', async () => {
  const of = { project_id: project.id };
  const gone = await projects.serviceAccounts.delete(minted.id, of);
  assert.deepEqual(gone, { object: 'organization.project.service_account.deleted', id: minted.id, deleted: true });
  await throws(modelClient(minted.api_key.value).models.list(), OpenAI.AuthenticationError, 401, 'invalid_api_key');
  await throws(projects.serviceAccounts.delete(minted.id, of), OpenAI.NotFoundError, 404, 'not_found');
});

await test('projects.archive kills what is left and refuses more', async () => {
  const last = await projects.serviceAccounts.create(project.id, { name: 'last' });
  const archived = await projects.archive(project.id);
  assert.equal(archived.status, 'archived');
  assert.ok(archived.archived_at >= archived.created_at);
  await throws(modelClient(last.api_key.value).models.list(), OpenAI.AuthenticationError, 401, 'invalid_api_key');
  await throws(projects.serviceAccounts.create(project.id, { name: 'late' }), OpenAI.BadRequestError, 400, 'project_archived');
  await throws(projects.serviceAccounts.list(project.id), OpenAI.BadRequestError, 400, 'project_archived');
});

await test('no endpoint of the sandbox was left out', async () => {
  assert.deepEqual(await undriven('openai'), []);
});

finish();
