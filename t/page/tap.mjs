/*
 * TAP on stdout: one line a promise, and why it was broken.
 */

let n = 0;
let failed = 0;

const comment = (text) =>
    String(text)
        .split('\n')
        .map((line) => `# ${line}\n`)
        .join('');

/* Runs the test; it keeps its promise unless it throws. */
export async function promise(name, test) {
    n++;

    try {
        await test();
        process.stdout.write(`ok ${n} - ${name}\n`);
    } catch (error) {
        failed++;
        process.stdout.write(`not ok ${n} - ${name}\n`);
        process.stdout.write(comment(error.stack ?? error));
    }
}

export function done() {
    process.stdout.write(`1..${n}\n`);
    return failed ? 1 : 0;
}
