// Writes the official specification as Prism needs it: node prism-spec.mjs SPECIFICATION > COPY
// Two things are added and nothing else is changed:
// - the path of the server's address goes into the paths, because Prism leaves a server's path out;
// - a default answer in the official form of an error, where an operation names none, so that the
//   bodies of errors are checked too, and a success with an unexpected status is a violation.
import { readFileSync } from 'node:fs';

const spec = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const base = new URL(spec.servers[0].url).pathname;
const form = spec.components.schemas.ErrorResponse ? 'ErrorResponse' : 'BadRequestResponse';
const error = {
  description: 'Any error.',
  content: { 'application/json': { schema: { $ref: `#/components/schemas/${form}` } } },
};

for (const path of Object.values(spec.paths)) {
  for (const operation of Object.values(path)) {
    operation.responses.default ??= error;
  }
}
spec.paths = Object.fromEntries(Object.entries(spec.paths).map(([path, item]) => [base + path, item]));
process.stdout.write(JSON.stringify(spec));
