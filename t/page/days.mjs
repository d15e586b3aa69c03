/*
 * The cards of days, of AI models, of the forecast, and the alerts.
 */

import assert from 'node:assert/strict';
import { BASE, get, shot, until, visit } from './browser.mjs';
import { DAY, iso, today } from './data.mjs';
import { narrow, rows, text, untilRows } from './seen.mjs';
import { promise } from './tap.mjs';

const MODELS = ['big', 'small', '<b>odd</b>'];

/* nine of just now fail: page.t declares an alert for that */
const failing = Array.from({ length: 9 }, (_, i) => ({
    user_id: `caller ${i % 7}`,
    model_used: 'big',
    call_type: 'completion',
    response_time: 1,
    tokens: 1,
    success: false,
    timestamp: iso(Date.now() - 1000),
}));

const calls = Array.from({ length: 60 }, (_, i) => ({
    user_id: `caller ${i % 7}`,
    model_used: MODELS[i % 10 === 0 ? 2 : i % 3 ? 0 : 1],
    call_type: i % 4 ? 'completion' : 'embedding',
    response_time: 0.25 * (1 + (i % 8)),
    tokens: 10 * i,
    success: i % 6 !== 0,
    timestamp: iso(today - 3 * DAY + i * 60e3),
})).concat(failing);

async function send(path, list) {
    const answer = await fetch(BASE + path, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(list),
    });

    assert.equal(answer.status, 201, await answer.text());
}

const sum = (list, value) => list.reduce((n, one) => n + value(one), 0);
const number = (n) => n.toLocaleString('en');

/* the nearest rank of what calls took */
const rank = (p) =>
    calls.map((one) => one.response_time).sort((a, b) => a - b)[
        Math.ceil(p * calls.length) - 1
    ];

/* by calls descending: model, calls, errors, tokens */
const byModel = () =>
    MODELS.map((model) => calls.filter((one) => one.model_used === model))
        .sort((a, b) => b.length - a.length)
        .map((list) => [
            list[0].model_used,
            number(list.length),
            number(list.filter((one) => !one.success).length),
            number(sum(list, (one) => one.tokens)),
        ]);

export async function byDay() {
    await send('/api/v1/ai-call', calls);
    await send('/api/v1/user-activity', [0, 1, 2, 3].map((i) => ({
        user_id: `visitor ${i % 3}`,
        action: i === 3 ? 'register' : 'login',
        ip_address: '203.0.113.9',
        user_agent: 'none',
        timestamp: iso(today - 6 * DAY + i * 1000),
    })));

    await visit('/', {}, async (page) => {
        await promise('calls of models are what was sent', async () => {
            await until(
                async () =>
                    (await rows(page, '#models')).map((row) => row.slice(0, 4)),
                byModel(),
            );

            const figures = await page
                .locator('#ai-figures dd')
                .allInnerTexts();

            assert.equal(figures[0], number(calls.length));
            assert.equal(figures[1], '19 (27.5%)');
            assert.equal(
                figures[2],
                number(sum(calls, (one) => one.tokens)),
            );
            figures[3].split(' · ').forEach((shown, i) => {
                const exact = rank([0.5, 0.95, 0.99][i]);

                /* one percent, and three digits of it */
                assert.ok(Math.abs(shown - exact) < 0.015 * exact, figures[3]);
            });
            assert.match(
                await page.locator('#times-plot .line.p99').getAttribute('d'),
                /^M[\d.]+,[\d.]+/,
            );
            await shot(page, 'days');
        });

        await promise('users by day are what was sent', async () => {
            await page.click('#visits-table summary');

            const all = await untilRows(page, '#visits-table', 14);

            assert.deepEqual(all[14 - 7].slice(1, 4), ['3', '3', '1']);
            await page.click('label:has([value=logins])');
            assert.match(
                await page.locator('#visits-plot .bar').getAttribute('d'),
                /^M/,
            );
        });

        await promise('other days can be chosen', async () => {
            await page.click('label:has([name=days][value=custom])');
            await page.fill('#days-start', iso(today - 4 * DAY).slice(0, 10));
            await page.fill('#days-end', iso(today - 3 * DAY).slice(0, 10));
            await untilRows(page, '#visits-table', 2);
            await page.fill('#days-start', iso(today).slice(0, 10));
            await until(
                () => text(page, '#days-problem'),
                'The first date is after the last one',
            );
        });

        await forecast(page);

        await promise('an alert that fires stands at the head', async () => {
            await until(
                async () => (await text(page, '#alerts-list')).split(' since')[0],
                'failing firing: error_count, with 9, is above 8',
            );
            await shot(page, 'alerts');
        });
    });
}

async function forecast(page) {
    await promise('a forecast is drawn with its bands', async () => {
        await page.selectOption('#forecast-metric', 'events');
        await until(
            () => page.getAttribute('#forecast-plot', 'data-metric'),
            'events',
        );

        const { series } = await get(
            '/metrics/events/forecast?interval=hour&horizon=3d',
        );

        await page.click('#forecast-table summary');
        await untilRows(page, '#forecast-table', 72);
        assert.equal(series.length, 72);

        for (const kind of ['.line.will', '.band.near', '.band.far']) {
            assert.match(
                await page.locator(`#forecast-plot ${kind}`).getAttribute('d'),
                /^M/,
            );
        }
    });

    await promise('too little history is told', async () => {
        await page.selectOption('#forecast-metric', 'registrations');
        await page.click('label:has([name=forecast-step][value=day])');
        await until(
            async () =>
                /needs a history of 14 days/.test(
                    await text(page, '#forecast-note'),
                ),
            true,
        );
        await shot(page, 'forecast');
    });
}

export async function byDayPhone() {
    await visit(
        '/',
        { viewport: { width: 360, height: 740 } },
        async (page) => {
            await promise('the days fit a phone', async () => {
                await page.locator('#models tbody tr').first().waitFor();
                await narrow(page);
                await shot(page, 'days-phone');
            });
        },
    );
}
