/*
 * The page of single events: what is searched for is what is shown.
 */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { BASE, until, visit } from './browser.mjs';
import { text } from './seen.mjs';
import {
    address,
    at,
    cells,
    ids,
    latest,
    path,
    query,
    search,
    settled,
    store,
} from './stored.mjs';
import { promise } from './tap.mjs';

const START = Date.parse('2019-05-01T00:00:00Z');
const HOUR = 3600e3;
const YEAR = { from: '2019-01-01T00:00:00Z', to: '2020-01-01T00:00:00Z' };

/* 130 in 44 hours: three of them at the same time */
const events = Array.from({ length: 130 }, (_, i) => ({
    user_id: ['ada', 'Ada', 'ben'][i % 3],
    event_type: ['sign in', 'buy', 'look'][(i >> 2) % 3],
    timestamp: at(START + Math.floor(i / 3) * HOUR),
    metadata: { n: i },
}));

let stored;

const wanted = (filter) => latest(stored, filter);

export async function searching() {
    stored = await store(events);

    /* half past five hours before UTC, without summer time */
    const options = { timezoneId: 'Asia/Kolkata' };

    await visit('/', {}, (page) =>
        promise('the first page leads to the events', async () => {
            await page.click('.links >> text=Events');
            await until(() => text(page, 'h1'), 'Events');
            await page.click('.links >> text=Activity');
            await until(() => text(page, 'h1'), 'Activity');
        }),
    );

    await visit(path(YEAR), options, async (page) => {
        await promise('the latest come first, as they were sent', async () => {
            const last = stored[129];

            await until(() => ids(page), wanted().slice(0, 50));
            assert.deepEqual((await cells(page))[0], [
                '3 May 2019, 00:30:00',
                last.event_type,
                last.user_id,
                '"n": 129',
                String(last.id),
            ]);
        });

        await promise('a user is found, by case', async () => {
            await search(page, { user: 'Ada' });
            await until(
                () => ids(page),
                wanted((event) => event.user_id === 'Ada'),
            );
            assert.equal(query(page).user_id, 'Ada');
        });

        await promise('of a type, too', async () => {
            await search(page, { type: 'sign in' });
            await until(
                () => ids(page),
                wanted(
                    (event) =>
                        event.user_id === 'Ada' &&
                        event.event_type === 'sign in',
                ),
            );
            await search(page, { user: '' });
            await until(
                () => ids(page),
                wanted((event) => event.event_type === 'sign in').slice(0, 50),
            );
        });

        await promise(
            'times are the reader’s: from is in it, to is not',
            async () => {
                await search(page, {
                    type: '',
                    from: '2019-05-01T15:30',
                    to: '2019-05-01T17:30',
                });
                await until(() => query(page), {
                    from: '2019-05-01T10:00:00Z',
                    to: '2019-05-01T12:00:00Z',
                });
                await until(
                    () => ids(page),
                    wanted(({ timestamp }) =>
                        /T1[01]:00/.test(timestamp) &&
                        timestamp.startsWith('2019-05-01'),
                    ),
                );
                assert.equal((await cells(page)).length, 6);
                assert.match(
                    (await cells(page)).at(-1)[0],
                    /^1 May 2019, 15:30:00$/,
                );
                assert.match(await text(page, '#zone'), /Asia\/Kolkata|Calcutta/);
            },
        );

        await promise('the earliest first, if so chosen', async () => {
            await search(page, { order: 'asc' });
            await until(
                () => ids(page),
                wanted(({ timestamp }) =>
                    /^2019-05-01T1[01]:00/.test(timestamp),
                ).reverse(),
            );
        });

        await promise('Clear shows all of them again', async () => {
            await page.click('#clear');
            await until(() => address(page).search, '');
            await until(async () => (await ids(page)).length, 50);
            assert.equal(await page.inputValue('#from'), '');
            assert.equal(await page.locator('#clear').isVisible(), false);
        });

        await promise('half a time is not taken for none', async () => {
            await page.locator('#from').focus();
            await page.keyboard.type('05');
            await page.click('#search-form [type=submit]');
            await until(
                () => text(page, '#from-problem'),
                'Complete the date and the time, or clear them.',
            );
            assert.equal(address(page).search, '');
        });
    });
}

export async function addresses() {
    const two = { user_id: 'ben', event_type: 'buy', ...YEAR, order: 'asc' };
    const buys = () =>
        wanted(
            (event) => event.user_id === 'ben' && event.event_type === 'buy',
        ).reverse();

    await visit(
        path(two),
        { timezoneId: 'America/New_York' },
        async (page) => {
            const form = () =>
                page.$$eval('#search input, #search select', (all) =>
                    all.map((one) => one.value),
                );
            const filled = [
                'ben',
                'buy',
                '2018-12-31T19:00',
                '2019-12-31T19:00',
                'asc',
            ];

            await promise('an address is a search, also reloaded', async () => {
                await until(() => ids(page), buys());
                assert.deepEqual(await form(), filled);
                await page.reload();
                await until(() => ids(page), buys());
                assert.deepEqual(await form(), filled);
            });

            await promise('Back and Forward go through searches', async () => {
                await search(page, { user: 'ada', type: '' });
                await until(() => query(page).user_id, 'ada');
                await settled(page);
                await page.goBack();
                await until(() => ids(page), buys());
                assert.deepEqual(await form(), filled);
                await page.goForward();
                await until(
                    () => ids(page),
                    wanted((event) => event.user_id === 'ada')
                        .reverse()
                        .slice(0, 50),
                );
                assert.equal(await page.inputValue('#user'), 'ada');
                assert.equal(await page.inputValue('#type'), '');
            });

            await promise('a search is asked for to the last digit', async () => {
                const from = '2019-05-01T02:00:00.000001Z';

                await page.goto(BASE + path({ from, to: YEAR.to }));
                await search(page, { user: 'ada' });
                await until(() => query(page).from, from);
                await until(
                    () => ids(page),
                    wanted(
                        (event) =>
                            event.user_id === 'ada' &&
                            event.timestamp > '2019-05-01T02:00:00.000Z',
                    ),
                );
            });
        },
    );
}

export async function paging() {
    await visit(path(YEAR), {}, async (page) => {
        const pages = () => [
            wanted().slice(0, 50),
            wanted().slice(50, 100),
            wanted().slice(100),
        ];
        const shows = (n) => until(() => ids(page), pages()[n]);
        const seen = (id) => page.locator(`#${id}`).isVisible();

        await promise('older ones, page by page, to the end', async () => {
            await shows(0);
            assert.equal(await seen('previous'), false);
            await page.click('#next');
            await shows(1);
            assert.match(await text(page, '#status'), /^Page 2: 50 events/);
            await page.click('#next');
            await shows(2);
            assert.match(await text(page, '#status'), /^Page 3: 30 events/);
            assert.equal(await seen('next'), false);
            assert.equal(
                await page.evaluate('document.activeElement.id'),
                'results',
            );
        });

        await promise('and back, also after a reload', async () => {
            await page.reload();
            await shows(2);
            await page.click('#previous');
            await shows(1);
            await page.click('#previous');
            await shows(0);
            assert.equal(query(page).after, undefined);
            assert.equal(await seen('previous'), false);
        });

        await promise('the browser’s Back turns a page, too', async () => {
            await page.goBack();
            await shows(1);
            await page.goBack();
            await shows(2);
            await page.click('#first');
            await shows(0);
        });

        await promise('what comes in meanwhile shifts no page', async () => {
            const [late] = await store([
                { ...events[0], timestamp: '2019-11-01T00:00:00Z' },
            ]);

            await page.click('#next');
            await shows(1);
            stored.push(late);
            await page.click('#previous');
            await shows(0);
            await page.click('#next');
            await shows(1);
        });

        await promise('a later page can be bookmarked', async () => {
            const link = page.url();

            await page.goto('about:blank');
            await page.goto(link);
            await until(async () => (await ids(page)).length, 50);
            assert.equal(await seen('previous'), false);
            await page.click('#first');
            await shows(0);
        });

        await promise('with the earliest first, on is newer', async () => {
            await search(page, { order: 'asc' });
            await until(() => ids(page), wanted().reverse().slice(0, 50));
            assert.equal(await text(page, '#next'), 'Newer →');
            await page.click('#next');
            await until(() => ids(page), wanted().reverse().slice(50, 100));
            assert.equal(await text(page, '#previous'), '← Older');
        });
    });
}

/* The ids in a file of each format, by their order. */
const READ = {
    ndjson: (body) =>
        body
            .trimEnd()
            .split('\n')
            .map((line) => JSON.parse(line).id),
    json: (body) => JSON.parse(body).map((event) => event.id),
    csv: (body) =>
        body
            .trimEnd()
            .split('\r\n')
            .slice(1)
            .map((line) => Number(line.split(',')[0])),
};

export async function downloading() {
    for (const order of ['desc', 'asc']) {
        const filters = { event_type: 'sign in', ...YEAR, order };

        await visit(path(filters), {}, async (page) => {
            await until(async () => (await ids(page)).length > 0, true);

            for (const [format, read] of Object.entries(READ)) {
                await promise(
                    `${format}, ${order}: the file has what is shown`,
                    async () => {
                        const waiting = page.waitForEvent('download');
                        const all = wanted(
                            (event) => event.event_type === 'sign in',
                        );

                        await page.click(`[data-format=${format}]`);

                        const file = await waiting;
                        const body = await readFile(await file.path(), 'utf8');

                        assert.ok(
                            file.suggestedFilename().endsWith(`.${format}`),
                        );
                        assert.deepEqual(
                            read(body),
                            order === 'asc' ? all.reverse() : all,
                        );
                        assert.deepEqual(
                            await ids(page),
                            read(body).slice(0, 50),
                        );
                    },
                );
            }
        });
    }
}
