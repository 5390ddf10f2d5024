// The version of this software, as both programs tell it. test/layout.test.ts holds it to package.json.
export const VERSION = '0.1.0';
