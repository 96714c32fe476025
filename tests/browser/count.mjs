// Prints each test, and last the line that .ci/run counts.

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
    } else if (type === 'test:stdout' || type === 'test:stderr' || type === 'test:diagnostic') {
      yield type === 'test:diagnostic' ? '' : data.message;
    }
  }
  yield `${passed} passed, ${failed} failed\n`;
}
