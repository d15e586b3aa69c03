/*
 * The figures and the charts: what was sent is what they say.
 */

import assert from 'node:assert/strict';
import { BASE, get, shot, until, visit } from './browser.mjs';
import {
    DAY,
    IMAGE,
    LONG,
    SCRIPT,
    between,
    iso,
    old,
    ranked,
    recent,
    send,
    sent,
    today,
} from './data.mjs';
import {
    bars, figures, rows, text, unhurt, untilRows, widths,
} from './seen.mjs';
import { promise } from './tap.mjs';

export async function emptyAndFirst() {
    await visit('/', {}, async (page) => {
        let command;

        await promise(
            'without data it says what to do, for this origin',
            async () => {
                await until(() => figures(page), ['0', '0', '0', '0']);
                command = await text(page, '#curl');
                assert.equal(
                    command,
                    `curl ${BASE}/events/ ` +
                        "-H 'Content-Type: application/json' " +
                        `-d '{"user_id":"user_123","event_type":"page_view"}'`,
                );
                assert.equal(
                    await page
                        .locator('#timeline, #columns')
                        .filter({ visible: true })
                        .count(),
                    0,
                );
                await shot(page, 'empty');
            },
        );

        await promise('it notices the first events by itself', async () => {
            await send([
                old('14:00:00', 'ann', 'visit'),
                old('14:30:00', 'ann', 'visit'),
                old('20:00:00', 'ben', 'leave'),
            ]);
            await until(() => figures(page), ['3', '2', '2', '0']);
            assert.equal(await page.locator('#empty').isVisible(), false);
        });

        await promise(
            'an empty week turns the timeline to where events are',
            async () => {
                await until(
                    () =>
                        page
                            .locator('#timeline-caption')
                            .getAttribute('data-total'),
                    '3',
                );
                assert.equal(await page.inputValue('#start'), '2015-05-16');
                assert.equal(await page.inputValue('#end'), '2015-05-22');
                assert.match(await text(page, '#span-note'), /last 7 days/);
            },
        );

        await promise(
            'the event of its command is accepted and shown',
            async () => {
                const [, url, type, body] = command.match(
                    /^curl (\S+) -H 'Content-Type: (.*)' -d '(.*)'$/,
                );
                const answer = await fetch(url, {
                    method: 'POST',
                    body,
                    headers: { 'Content-Type': type },
                });

                assert.equal(answer.status, 201);
                sent.push({ ...JSON.parse(body), timestamp: iso(Date.now()) });
                await until(() => figures(page), ['4', '3', '3', '1']);
            },
        );
    });
}

export async function charts() {
    await send([
        ...recent(0, 2, 'ann', 'visit'),
        ...recent(1, 6, 'ben', 'visit'),
        ...recent(2, 5, 'ann', 'page_view'),
        ...recent(5, 3, 'cat', 'page_view'),
        ...recent(20, 4, 'cat', SCRIPT),
        ...recent(3, 2, SCRIPT, IMAGE),
        ...recent(3, 1, IMAGE, LONG),
        ...recent(3, 1, LONG, '__proto__'),
        ...recent(3, 1, '  two  blanks', '\u202edesrever'),
    ]);

    await visit('/', {}, async (page, complaints) => {
        await promise(
            'the bars are what was sent, by name and by length',
            async () => {
                const types = ranked('event_type');
                const most = types[0][1];
                const all = (await get('/stats/by-event-type')).map((row) => [
                    row.event_type,
                    row.count,
                ]);

                assert.deepEqual(all, types);
                await until(
                    async () =>
                        (await bars(page, '#types-plot')).map(([name, n]) => [
                            name.endsWith('…') ? LONG : name,
                            n,
                        ]),
                    types,
                );
                await until(
                    () => widths(page, '#types-plot'),
                    types.map(([, n]) => Math.round((100 * n) / most)),
                );
            },
        );

        await promise('the most active users are in order', async () => {
            await until(
                async () =>
                    (await bars(page, '#users-plot')).map(([name, n]) => [
                        name.endsWith('…') ? LONG : name,
                        n,
                    ]),
                ranked('user_id', 10),
            );
        });

        await promise(
            'the table beside a chart says the same, in full',
            async () => {
                await page.click('#types-table summary');
                await until(
                    async () =>
                        (await rows(page, '#types-table')).map(([name, n]) => [
                            name,
                            Number(n),
                        ]),
                    ranked('event_type'),
                );
            },
        );

        await promise(
            'hostile names are text, wherever they show',
            async () => {
                await page.click('#users-table summary');
                await page
                    .locator('#types-plot .row', { hasText: '<script>' })
                    .hover();
                await until(
                    () => page.locator('#tooltip b').textContent(),
                    SCRIPT,
                );
                await page
                    .locator('#users-plot .row', { hasText: '<script>' })
                    .click();
                await until(
                    () => page.locator('#person-result b').textContent(),
                    SCRIPT,
                );
                await until(() => bars(page, '#person-result'), [[IMAGE, 2]]);
                await unhurt(page);
                await shot(page, 'hostile');
            },
        );

        await promise(
            'a user can be looked up, and a stranger has nothing',
            async () => {
                await page.fill('#person-id', 'ben');
                await page.press('#person-id', 'Enter');
                await until(
                    () => bars(page, '#person-result'),
                    [
                        ['visit', 6],
                        ['leave', 1],
                    ],
                );
                await page.fill('#person-id', 'nobody');
                await page.click('#person-go');
                await until(
                    () => text(page, '#person-result p[role=status]'),
                    'No events of this user.',
                );

                /* the browser logs the 404 */
                assert.ok(complaints.every((line) => /404/.test(line)));
                complaints.length = 0;
            },
        );
    });
}

export async function overTime() {
    /* a day must not end meanwhile */
    const before = (page) => page.clock.setFixedTime(Date.now());

    await visit('/', { before }, async (page) => {
        const choose = (value) =>
            page.check(`[value="${value}"]`, { force: true });
        const total = () =>
            page.locator('#timeline-caption').getAttribute('data-total');
        const tomorrow = today + DAY;

        await page.click('#timeline-table summary', { timeout: 30000 });

        await promise(
            'the last 7 days add up, by hour and by day',
            async () => {
                const week = between(today - 6 * DAY, tomorrow);

                await choose('7d');
                await until(total, String(week.length));
                await choose('day');
                await until(
                    async () =>
                        (await rows(page, '#timeline-table')).map(([, n]) =>
                            Number(n),
                        ),
                    [5, 3, 2, 1, 0].map(
                        (n) =>
                            between(today - n * DAY, today - (n - 1) * DAY)
                                .length,
                    ),
                );
            },
        );

        await promise(
            'the last 30 days add up, and so does one day',
            async () => {
                await choose('30d');
                await until(
                    total,
                    String(between(today - 29 * DAY, tomorrow).length),
                );
                await choose('custom');
                await page.fill('#start', iso(today - 5 * DAY).slice(0, 10));
                await page.fill('#end', iso(today - 5 * DAY).slice(0, 10));
                await until(total, '3');
                await untilRows(page, '#timeline-table', 1);
            },
        );

        await promise(
            'the last 24 hours hold the events of just now',
            async () => {
                await choose('24h');
                await until(async () => Number(await total()) >= 1, true);
                assert.equal(
                    await page.isDisabled('[name=unit][value=day]'),
                    true,
                );
            },
        );

        await promise(
            'dates that make no span are refused in words',
            async () => {
                await choose('custom');
                await page.fill('#start', '2020-02-02');
                await page.fill('#end', '2020-02-01');
                await until(
                    () => text(page, '#dates-problem'),
                    'The first date is after the last one',
                );
            },
        );

        await promise('it leads to the busiest hour of all', async () => {
            await page.click('#peak-show');
            await until(
                total,
                String(between(today - 4 * DAY, tomorrow).length),
            );
        });
    });
}

export async function more() {
    await send(
        Array.from({ length: 8 }, (_, i) => ({
            user_id: 'dan',
            event_type: `more_${i}`,
        })),
    );

    await visit('/', {}, async (page) => {
        await promise(
            'many types are ten bars until all are asked for',
            async () => {
                const types = ranked('event_type').length;

                assert.ok(types > 10);
                await until(
                    async () => (await bars(page, '#types-plot')).length,
                    10,
                );
                await page.click('#types-more');
                await until(
                    async () => (await bars(page, '#types-plot')).length,
                    types,
                );
            },
        );

        await promise('a new event shows without a reload', async () => {
            const before = Number(await text(page, '#total-events'));

            await page.evaluate(() => {
                window.sameDocument = true;
            });
            await send([{ user_id: 'eve', event_type: 'visit' }]);
            await until(() => text(page, '#total-events'), String(before + 1));
            await until(
                async () =>
                    (await bars(page, '#types-plot')).find(
                        ([name]) => name === 'visit',
                    )[1],
                ranked('event_type').find(([name]) => name === 'visit')[1],
            );
            assert.equal(await page.evaluate(() => window.sameDocument), true);
        });
    });
}
