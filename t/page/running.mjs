/*
 * How the page asks the server, and the pages of documentation.
 */

import assert from 'node:assert/strict';
import { shot, until, visit } from './browser.mjs';
import { text } from './seen.mjs';
import { promise } from './tap.mjs';

export async function refreshing() {
    await promise('a server out of reach is named, and so is its return', () =>
        visit('/', {}, async (page, complaints) => {
            await until(() => text(page, '#live-text'), 'Live');
            await page.context().setOffline(true);
            await until(() => page.locator('#notice').isVisible(), true);
            assert.match(await text(page, '#notice'), /cannot be reached/);
            await shot(page, 'down');
            await page.context().setOffline(false);
            await until(() => page.locator('#notice').isVisible(), false);
            await until(() => text(page, '#live-text'), 'Live');
            assert.ok(complaints.every((line) => /ERR_INTERNET/.test(line)));
            complaints.length = 0;
        }),
    );

    /* the page's clock stands still in these two, but for what we let pass */

    const before = async (page) => {
        await page.clock.install();
        await page.clock.pauseAt(Date.now() + 60000);
    };

    await promise(
        'a hidden page asks for nothing, and catches up when shown',
        async () => {
            let asked = 0;

            await visit('/', { before }, async (page) => {
                await until(() => text(page, '#live-text'), 'Live');
                await until(
                    async () => /up/.test(await text(page, '#health')),
                    true,
                );
                page.on('request', (request) => {
                    asked += !request.url().endsWith('/favicon.svg');
                });

                await page.evaluate(() => {
                    Object.defineProperty(document, 'hidden', {
                        configurable: true,
                        get: () => true,
                    });
                    document.dispatchEvent(new Event('visibilitychange'));
                });
                await page.clock.runFor(120000);
                assert.equal(asked, 0);

                await page.evaluate(() => {
                    delete document.hidden;
                    document.dispatchEvent(new Event('visibilitychange'));
                });
                await until(() => asked > 0, true);
            });
        },
    );

    await promise(
        'a slow answer is waited for, without asking again',
        async () => {
            const held = [];

            await visit('/', { before }, async (page) => {
                await until(() => text(page, '#live-text'), 'Live');
                await page.route('**/stats/total', (route) => held.push(route));
                await page.clock.runFor(4000);
                await until(() => held.length, 1);
                await page.clock.runFor(5000);
                assert.equal(held.length, 1);

                const next = page.waitForResponse('**/stats/recent-activity*');

                await held.shift().continue();
                await next;
                await until(async () => {
                    await page.clock.runFor(1000);
                    return held.length;
                }, 1);
                await held.shift().continue();
            });
        },
    );

    await promise('an answer that is not exact is marked so', () =>
        visit(
            '/',
            {
                before: (page) =>
                    page.route('**/stats/total', async (route) => {
                        const response = await route.fetch();
                        await route.fulfill({
                            response,
                            headers: {
                                ...response.headers(),
                                'x-analytics-exact':
                                    'false; unique_users is an estimate',
                            },
                        });
                    }),
            },
            async (page) => {
                await until(
                    () =>
                        page
                            .locator('#unique-users .approximate')
                            .getAttribute('title'),
                    'unique_users is an estimate',
                );
            },
        ),
    );
}

export async function documentation() {
    for (const path of ['/docs', '/api/swagger']) {
        await promise(`${path} shows the operations, all from here`, () =>
            visit(path, {}, async (page) => {
                await page.getByText('Store events', { exact: true }).waitFor();
                await page
                    .locator('#operations-Statistics-statsOverTime')
                    .click();
                await page.getByText('Every day of the span').waitFor();
                await shot(page, path.slice(1).replace('/', '-'));
            }),
        );
    }

    await promise('/redoc shows the operations, all from here', () =>
        visit('/redoc', {}, async (page) => {
            await page
                .getByRole('heading', { name: 'Store events' })
                .first()
                .waitFor();
            await page.getByPlaceholder('Search').fill('minutes');
            await page
                .getByRole('search')
                .getByText('The last minutes')
                .first()
                .waitFor();
            await shot(page, 'redoc');
        }),
    );
}
