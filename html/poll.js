/*
 * Calls run() again and again: never twice at the same time, not while the
 * page is hidden, and more and more seldom while it fails.
 */

const EVERY = 3000;
const SLOWEST = 15000;

/* Returns a function that asks for a run at once. */
export function poll(run) {
    let timer = null;
    let running = false;
    let again = false;
    let delay = EVERY;

    const next = () => {
        clearTimeout(timer);
        if (!document.hidden) {
            timer = setTimeout(go, delay);
        }
    };

    const go = async () => {
        if (running) {
            again = true;
            return;
        }

        clearTimeout(timer);
        running = true;

        const fine = await run();

        running = false;
        delay = fine ? EVERY : Math.min(delay * 2, SLOWEST);

        if (again) {
            again = false;
            go();
        } else {
            next();
        }
    };

    document.addEventListener('visibilitychange', () => {
        if (document.hidden) {
            clearTimeout(timer);
        } else {
            go();
        }
    });

    window.addEventListener('online', go);
    go();
    return go;
}
