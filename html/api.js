/*
 * Requests to the server that this page came from, and to no other.
 */

const PATIENCE = 10000;

/* status 0: no answer came at all */
export class ApiError extends Error {
    constructor(status, detail, problem) {
        super(detail);
        this.name = 'ApiError';
        this.status = status;
        this.problem = problem ?? {};
    }

    get unreachable() {
        return this.status === 0 || this.status >= 500;
    }
}

/*
 * Returns { data, note, text, headers }: note is null, or says why the answer
 * is not exact; text is what data was read from.  Aborting through signal throws an
 * AbortError, as fetch() does.
 */
export async function call(path, options = {}) {
    const { signal, patience = PATIENCE, ...init } = options;
    const limit = AbortSignal.timeout(patience);
    let response, text, data;

    try {
        response = await fetch(path, {
            cache: 'no-store',
            ...init,
            headers: { Accept: 'application/json', ...init.headers },
            signal: signal ? AbortSignal.any([signal, limit]) : limit,
        });
        text = await response.text();
        data = parsed(text, response);

    } catch (error) {
        if (signal?.aborted || error instanceof ApiError) {
            throw error;
        }
        throw new ApiError(0, limit.aborted
            ? 'The server did not answer in time'
            : 'The server cannot be reached');
    }

    if (!response.ok) {
        throw new ApiError(response.status, data.detail ?? data.title
            ?? `The server answered ${response.status}`, data);
    }

    const { headers } = response;

    return { data, note: exactness(headers.get('X-Analytics-Exact')),
             text, headers };
}

function parsed(text, response) {
    try {
        return JSON.parse(text) ?? {};
    } catch {
        if (!response.ok) {
            return {};
        }
        throw new ApiError(response.status, 'The answer was not JSON');
    }
}

/* "false; users are estimated" → "users are estimated" */
export function exactness(header) {
    if (header === null || !header.trim().startsWith('false')) {
        return null;
    }

    return header.split(';').slice(1).join(';').trim()
        || 'This figure is no longer exact';
}
