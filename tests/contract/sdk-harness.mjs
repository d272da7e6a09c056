// What the SDK tests share: the control socket, and TAP lines without numbers. Environment: see the tests.
import http from 'node:http';

/** Asks the sandbox's control interface; an object is sent as JSON. */
export function control(method, path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { socketPath: process.env.LLMHOOK_SANDBOX_CONTROL, method, path },
      (response) => {
        let text = '';
        response.on('data', (chunk) => (text += chunk));
        response.on('end', () => {
          if (response.statusCode === 200) resolve(JSON.parse(text));
          else reject(new Error(`${method} ${path}: ${response.statusCode} ${text}`));
        });
      },
    );
    request.on('error', reject);
    request.end(body && JSON.stringify(body));
  });
}
export const knobs = (values) => control('POST', '/knobs', values);
export const fault = (values) => control('POST', '/faults', values);

let failed = 0;
/** SCRIPT: the test's own file name, so that a failure can say where. */
export const tests = (script) => async function test(name, body) {
  try {
    await body();
    console.log(`ok - ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok - ${name}`);
    // An assertion's values could hold a key; its place and its first line cannot.
    console.log(`# ${String(error.message).split('\n')[0].slice(0, 300)}`);
    console.log(`# ${String(error.stack).split('\n').find((line) => line.includes(script))}`);
  }
};
export const finish = () => process.exit(failed === 0 ? 0 : 1);

export async function all(list) {
  const items = [];
  for await (const item of list) items.push(item);
  return items;
}

/** Every route that the sandbox has of this provider was asked by now. */
export async function undriven(provider) {
  const driven = Object.keys((await control('GET', '/stats')).routes);
  return (await control('GET', `/routes?provider=${provider}`)).filter((route) => !driven.includes(route));
}
