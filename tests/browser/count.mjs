// Prints each test, and last the line that .ci/run counts.

const SUMMARY = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) /;

export default async function* report(source) {
  let passed = 0;
  let failed = 0;
  for await (const { type, data } of source) {
    if (type === 'test:pass') {
      passed += 1;
      yield `ok    ${Math.round(data.details.duration_ms)} ms  ${data.name}\n`;
    } else if (type === 'test:fail') {
      failed += 1;
      yield `FAIL  ${data.name}\n${data.details.error?.cause?.stack ?? data.details.error}\n`;
    } else if (type === 'test:stdout' || type === 'test:stderr') {
      yield data.message;
    } else if (type === 'test:diagnostic' && !SUMMARY.test(data.message)) {
      yield `      ${data.message}\n`;
    }
  }
  yield `${passed} passed, ${failed} failed\n`;
}
