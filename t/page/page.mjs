/*
 * The page, in a browser, against a server that has no events yet.
 *
 *     BASE_URL=http://127.0.0.1:8080 node page.mjs
 *
 * SCREENSHOTS names a folder for pictures of what was seen, CHROMIUM another
 * browser than Debian's.
 */

import assert from 'node:assert/strict';
import { BASE, close, get, open, post, shot, until, visit } from './browser.mjs';
import { done, promise } from './tap.mjs';

const DAY = 24 * 3600e3;
const today = Math.floor(Date.now() / DAY) * DAY;
const iso = (ms) => new Date(ms).toISOString();

const SCRIPT = '<script>window.hurt = 1; alert(1)</script>';
const IMAGE = '"><img src=x onerror="window.hurt = 1; alert(2)">';
const LONG = 'W'.repeat(250);


/* what the tests send, and by a count of their own what it adds up to */

const sent = [];

async function send(events) {
    const dated = events.map((event) =>
        ({ timestamp: iso(Date.now()), ...event }));

    await post(dated);
    sent.push(...dated);
}

/* by count descending, then by name, by bytes */
function ranked(key, limit = Infinity) {
    const counts = new Map();

    for (const event of sent) {
        counts.set(event[key], (counts.get(event[key]) ?? 0) + 1);
    }

    return [...counts]
        .sort(([a, m], [b, n]) => n - m || Buffer.compare(Buffer.from(a),
            Buffer.from(b)))
        .slice(0, limit);
}

const between = (from, to) => sent.filter((event) =>
    Date.parse(event.timestamp) >= from && Date.parse(event.timestamp) < to);

const old = (clock, user, type) => ({
    user_id: user, event_type: type, timestamp: `2015-05-19T${clock}Z`,
});

const recent = (daysAgo, n, user, type) => Array.from({ length: n }, (_, i) => ({
    user_id: user, event_type: type,
    timestamp: iso(today - daysAgo * DAY + (daysAgo ? 9 : 0) * 3600e3 + i * 1000),
}));

const LIST = [
    ['alice', '09:10:01', 'login'], ['bob', '09:15:12', 'view'],
    ['alice', '10:03:23', 'purchase'], ['alice', '09:42:21', 'login'],
    ['charlie', '09:01:05', 'login'], ['bob', '11:13:45', 'logout'],
    ['bob', '09:55:32', 'login'], ['charlie', '09:23:02', 'view'],
].map(([user, clock, action]) => ({
    user_id: user, timestamp: `2025-09-23T${clock}Z`, action_type: action,
}));


/* what is seen */

const text = (page, selector) => page.locator(selector).innerText();

const figures = (page) => page.locator('#figures dd').allInnerTexts();

/* [[name, count]] of a bar chart, as drawn */
const bars = (page, selector) => page.$$eval(`${selector} g.row`, (rows) =>
    rows.map((row) => [
        row.querySelector('.name').textContent,
        Number(row.querySelector('.count').textContent.replaceAll(',', '')),
    ]));

/* Widths of the bars, as fractions of the widest one, in hundredths. */
const widths = (page, selector) => page.$$eval(`${selector} .bar`, (rects) => {
    const all = rects.map((rect) => rect.getBoundingClientRect().width);
    return all.map((width) => Math.round(100 * width / Math.max(...all)));
});

/* [cells] of each row of a table that is open */
const rows = (page, selector) => page.$$eval(`${selector} tbody tr`, (all) =>
    all.map((row) => [...row.cells].map((cell) => cell.textContent)));

async function unhurt(page) {
    assert.equal(await page.evaluate(() => window.hurt), undefined);
    assert.equal(await page.locator('main img, main script').count(), 0);
}

async function narrow(page) {
    assert.equal(await page.evaluate(() =>
        document.scrollingElement.scrollWidth <= window.innerWidth), true,
    'the page scrolls sideways');
}


async function emptyAndFirst() {
    await visit('/', {}, async (page) => {
        let command;

        await promise('without data it says what to do, for this origin', async () => {
            await until(() => figures(page), ['0', '0', '0', '0']);
            command = await text(page, '#curl');
            assert.equal(command, `curl ${BASE}/events/ `
                + "-H 'Content-Type: application/json' "
                + `-d '{"user_id":"user_123","event_type":"page_view"}'`);
            assert.equal(await page.locator('#timeline, #columns')
                .filter({ visible: true }).count(), 0);
            await shot(page, 'empty');
        });

        await promise('it notices the first events by itself', async () => {
            await send([old('14:00:00', 'ann', 'visit'),
                        old('14:30:00', 'ann', 'visit'),
                        old('20:00:00', 'ben', 'leave')]);
            await until(() => figures(page), ['3', '2', '2', '0']);
            assert.equal(await page.locator('#empty').isVisible(), false);
        });

        await promise('an empty week turns the timeline to where events are', async () => {
            await until(() => page.locator('#timeline-caption')
                .getAttribute('data-total'), '3');
            assert.equal(await page.inputValue('#start'), '2015-05-16');
            assert.equal(await page.inputValue('#end'), '2015-05-22');
            assert.match(await text(page, '#span-note'), /last 7 days/);
        });

        await promise('the event of its command is accepted and shown', async () => {
            const [, url, type, body] = command.match(
                /^curl (\S+) -H 'Content-Type: (.*)' -d '(.*)'$/);
            const answer = await fetch(url, {
                method: 'POST', body, headers: { 'Content-Type': type },
            });

            assert.equal(answer.status, 201);
            sent.push({ ...JSON.parse(body), timestamp: iso(Date.now()) });
            await until(() => figures(page), ['4', '3', '3', '1']);
        });
    });
}


async function charts() {
    await send([
        ...recent(0, 2, 'ann', 'visit'), ...recent(1, 6, 'ben', 'visit'),
        ...recent(2, 5, 'ann', 'page_view'), ...recent(5, 3, 'cat', 'page_view'),
        ...recent(20, 4, 'cat', SCRIPT), ...recent(3, 2, SCRIPT, IMAGE),
        ...recent(3, 1, IMAGE, LONG), ...recent(3, 1, LONG, '__proto__'),
        ...recent(3, 1, '  two  blanks', '\u202edesrever'),
    ]);

    await visit('/', {}, async (page, complaints) => {
        await promise('the bars are what was sent, by name and by length', async () => {
            const types = ranked('event_type');
            const most = types[0][1];
            const all = (await get('/stats/by-event-type'))
                .map((row) => [row.event_type, row.count]);

            assert.deepEqual(all, types);
            await until(async () => (await bars(page, '#types-plot'))
                .map(([name, n]) => [name.endsWith('…') ? LONG : name, n]), types);
            await until(() => widths(page, '#types-plot'),
                types.map(([, n]) => Math.round(100 * n / most)));
        });

        await promise('the most active users are in order', async () => {
            await until(async () => (await bars(page, '#users-plot'))
                .map(([name, n]) => [name.endsWith('…') ? LONG : name, n]),
            ranked('user_id', 10));
        });

        await promise('the table beside a chart says the same, in full', async () => {
            await page.click('#types-table summary');
            await until(async () => (await rows(page, '#types-table'))
                .map(([name, n]) => [name, Number(n)]), ranked('event_type'));
        });

        await promise('hostile names are text, wherever they show', async () => {
            await page.click('#users-table summary');
            await page.locator('#types-plot .row', { hasText: '<script>' })
                .hover();
            await until(() => page.locator('#tooltip b').textContent(), SCRIPT);
            await page.locator('#users-plot .row', { hasText: '<script>' })
                .click();
            await until(() => page.locator('#person-result b').textContent(),
                SCRIPT);
            await until(() => bars(page, '#person-result'), [[IMAGE, 2]]);
            await unhurt(page);
            await shot(page, 'hostile');
        });

        await promise('a user can be looked up, and a stranger has nothing', async () => {
            await page.fill('#person-id', 'ben');
            await page.press('#person-id', 'Enter');
            await until(() => bars(page, '#person-result'),
                [['visit', 6], ['leave', 1]]);
            await page.fill('#person-id', 'nobody');
            await page.click('#person-go');
            await until(() => text(page, '#person-result p[role=status]'),
                'No events of this user.');

            /* the browser logs the 404 */
            assert.ok(complaints.every((line) => /404/.test(line)));
            complaints.length = 0;
        });
    });
}


async function overTime() {
    /* a day must not end meanwhile */
    const before = (page) => page.clock.setFixedTime(Date.now());

    await visit('/', { before }, async (page) => {
        const choose = (value) => page.check(`[value="${value}"]`,
            { force: true });
        const total = () => page.locator('#timeline-caption')
            .getAttribute('data-total');
        const tomorrow = today + DAY;

        await page.click('#timeline-table summary', { timeout: 30000 });

        await promise('the last 7 days add up, by hour and by day', async () => {
            const week = between(today - 6 * DAY, tomorrow);

            await choose('7d');
            await until(total, String(week.length));
            await choose('day');
            await until(async () => (await rows(page, '#timeline-table'))
                .map(([, n]) => Number(n)),
            [5, 3, 2, 1, 0].map((n) => between(today - n * DAY,
                today - (n - 1) * DAY).length));
        });

        await promise('the last 30 days add up, and so does one day', async () => {
            await choose('30d');
            await until(total, String(between(today - 29 * DAY, tomorrow).length));
            await choose('custom');
            await page.fill('#start', iso(today - 5 * DAY).slice(0, 10));
            await page.fill('#end', iso(today - 5 * DAY).slice(0, 10));
            await until(total, '3');
            await until(async () => (await rows(page, '#timeline-table')).length, 1);
        });

        await promise('the last 24 hours hold the events of just now', async () => {
            await choose('24h');
            await until(async () => Number(await total()) >= 1, true);
            assert.equal(await page.isDisabled('[name=unit][value=day]'), true);
        });

        await promise('dates that make no span are refused in words', async () => {
            await choose('custom');
            await page.fill('#start', '2020-02-02');
            await page.fill('#end', '2020-02-01');
            await until(() => text(page, '#dates-problem'),
                'The first date is after the last one');
        });

        await promise('it leads to the busiest hour of all', async () => {
            await page.click('#peak-show');
            await until(total, String(between(today - 4 * DAY, tomorrow).length));
        });
    });
}


async function more() {
    await send(Array.from({ length: 8 }, (_, i) =>
        ({ user_id: 'dan', event_type: `more_${i}` })));

    await visit('/', {}, async (page) => {
        await promise('many types are ten bars until all are asked for', async () => {
            const types = ranked('event_type').length;

            assert.ok(types > 10);
            await until(async () => (await bars(page, '#types-plot')).length, 10);
            await page.click('#types-more');
            await until(async () => (await bars(page, '#types-plot')).length, types);
        });

        await promise('a new event shows without a reload', async () => {
            const before = Number(await text(page, '#total-events'));

            await page.evaluate(() => { window.sameDocument = true; });
            await send([{ user_id: 'eve', event_type: 'visit' }]);
            await until(() => text(page, '#total-events'), String(before + 1));
            await until(async () => (await bars(page, '#types-plot'))
                .find(([name]) => name === 'visit')[1],
            ranked('event_type').find(([name]) => name === 'visit')[1]);
            assert.equal(await page.evaluate(() => window.sameDocument), true);
        });
    });
}


async function lists() {
    const result = '#list-result';
    const shown = [['login', 4], ['view', 2], ['logout', 1], ['purchase', 1]];

    await visit('/', {}, async (page, complaints) => {
        const before = await get('/stats/total');

        await promise('a pasted list is summarised and charted', async () => {
            await page.focus('#list');
            await page.keyboard.insertText(JSON.stringify(LIST));
            await page.click('#summarise-go');
            await until(() => bars(page, result), shown);

            const facts = await text(page, `${result} .figures`);

            for (const fact of ['8', '3', 'alice, 3', '09:01:05', '6']) {
                assert.ok(facts.includes(fact), `${fact} in ${facts}`);
            }
            assert.deepEqual(await page.locator(`${result} li`).allInnerTexts(),
                ['alice', 'bob', 'charlie']);
            await shot(page, 'summary');
        });

        await promise('a dropped and a chosen file are summarised, too', async () => {
            await page.click('#clear');
            await page.evaluate((body) => {
                const data = new DataTransfer();
                data.items.add(new File([body], 'list.json'));
                document.getElementById('drop').dispatchEvent(new DragEvent(
                    'drop', { dataTransfer: data, bubbles: true,
                              cancelable: true }));
            }, JSON.stringify(LIST));
            await until(() => bars(page, result), shown);
            assert.match(await text(page, '#file-name'), /^list\.json/);

            await page.setInputFiles('#choose', {
                name: 'two.json', mimeType: 'application/json',
                buffer: Buffer.from(JSON.stringify(LIST.slice(0, 2))),
            });
            await until(() => bars(page, result), [['login', 1], ['view', 1]]);
        });

        await promise('what is wrong with a list is listed, event by event', async () => {
            await page.click('#clear');
            await page.fill('#list', JSON.stringify([
                LIST[0], { ...LIST[1], timestamp: '2025-02-30T00:00:00Z' },
                { ...LIST[2], user_id: 7 },
            ]));
            await page.click('#summarise-go');
            await until(async () => (await rows(page, result))
                .map(([index, field]) => [index, field]),
            [['1', 'timestamp'], ['2', 'user_id']]);
            await shot(page, 'refused');

            await page.fill('#list', '[{"user_id":');
            await page.click('#summarise-go');
            await until(() => page.locator(`${result} table`).count(), 0);
            assert.match(await text(page, `${result} .refused`), /Bad Request/);
        });

        await promise('hostile names in a list are text', async () => {
            await page.fill('#list', JSON.stringify([
                { ...LIST[0], user_id: IMAGE, action_type: SCRIPT },
                { ...LIST[0], user_id: SCRIPT, action_type: '__proto__' }]));
            await page.click('#summarise-go');
            await until(() => bars(page, result), [[SCRIPT, 1], ['__proto__', 1]]);
            await unhurt(page);
        });

        await promise('a list that was summarised is not stored', async () => {
            assert.deepEqual(await get('/stats/total'), before);
        });

        /* the browser logs the two refusals */
        assert.equal(complaints.filter((line) => /42[0-9]|400/.test(line)).length, 2);
        complaints.splice(0, 2);
    });
}


/* Relative luminance of an rgb() colour, as WCAG has it. */
function luminance(colour) {
    const [r, g, b] = colour.match(/[\d.]+/g).map(Number).map((v) => {
        const s = v / 255;
        return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one, two) {
    const [high, low] = [luminance(one), luminance(two)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
}

const paint = (page, selector, property) => page.$eval(selector,
    (node, name) => getComputedStyle(node)[name], property);

const TEXTS = ['#figures dt', '#figures dd', '#timeline-caption', '.links a',
               '#types-table summary', '#health', '.segments span'];

async function themes() {
    const ground = {};

    for (const colorScheme of ['light', 'dark']) {
        await promise(`the ${colorScheme} theme is legible`, () =>
            visit('/', { colorScheme }, async (page) => {
                await until(async () => (await bars(page, '#types-plot')).length, 10);

                const card = await paint(page, '.card', 'backgroundColor');

                ground[colorScheme] = card;

                for (const selector of TEXTS) {
                    const ink = await paint(page, selector, 'color');
                    assert.ok(contrast(ink, card) >= 4.5,
                        `${selector}: ${ink} on ${card}`);
                }

                const bar = await paint(page, '#types-plot .bar', 'fill');
                assert.ok(contrast(bar, card) >= 3, `${bar} on ${card}`);
                await shot(page, colorScheme);
            }));
    }

    await promise('the themes differ, and the one that is chosen is kept', () =>
        visit('/', { colorScheme: 'light' }, async (page) => {
            assert.notEqual(ground.light, ground.dark);
            await page.click('#theme');
            await page.click('#theme');
            assert.equal(await paint(page, '.card', 'backgroundColor'), ground.dark);
            await page.reload();
            assert.equal(await paint(page, '.card', 'backgroundColor'), ground.dark);
            await page.click('#theme');
            assert.equal(await paint(page, '.card', 'backgroundColor'), ground.light);
        }));
}


async function phone() {
    const small = { viewport: { width: 360, height: 740 }, hasTouch: true };

    await promise('on a phone nothing scrolls sideways', () =>
        visit('/', small, async (page) => {
            await until(async () => (await bars(page, '#types-plot')).length, 10);
            await page.click('#users-table summary');
            await page.fill('#list', JSON.stringify(LIST.map((event) =>
                ({ ...event, user_id: LONG }))));
            await page.click('#summarise-go');
            await until(() => page.locator('#list-result li').count(), 1);
            await page.check('[value=custom]', { force: true });
            await narrow(page);
            await shot(page, 'phone');
        }));
}


/* What Tab must reach: a group of radio buttons is one stop. */
const STOPS = `(() => {
    const seen = new Set();
    return [...document.querySelectorAll('a[href], button, input, select, '
            + 'textarea, summary, [tabindex="0"]')]
        .filter((node) => !node.disabled && node.checkVisibility())
        .filter((node) => {
            const key = node.type === 'radio' ? node.name : node;
            return !seen.has(key) && seen.add(key);
        }).length;
})()`;

/* Where the focus is, and whether that shows. */
const FOCUS = `(() => {
    const node = document.activeElement;
    if (node === document.body) {
        return null;
    }
    window.stops ??= [];
    const key = node.type === 'radio' ? node.name : node;
    const again = window.stops.includes(key);
    window.stops.push(key);
    const shows = [node, node.nextElementSibling, node.closest('label')]
        .filter(Boolean).map((each) => getComputedStyle(each))
        .some((style) => style.outlineStyle !== 'none'
                         && parseFloat(style.outlineWidth) >= 1);
    return { again, shows, what: node.outerHTML.slice(0, 80) };
})()`;

async function keyboard() {
    await visit('/', {}, async (page) => {
        await until(async () => (await bars(page, '#types-plot')).length, 10);

        await promise('Tab reaches every control, and one sees where it is', async () => {
            const stops = await page.evaluate(STOPS);
            let reached = 0;

            for (let i = 0; i < stops; i++) {
                await page.keyboard.press('Tab');
                const at = await page.evaluate(FOCUS);
                if (at === null) {
                    break;
                }
                assert.ok(at.shows, `no focus to be seen at ${at.what}`);
                reached += at.again ? 0 : 1;
            }

            assert.equal(reached, stops);
        });

        await promise('the first stop skips to the figures', async () => {
            await page.reload();
            await page.keyboard.press('Tab');
            assert.equal(await page.evaluate('document.activeElement.className'),
                'skip');
            await page.keyboard.press('Enter');
            assert.equal(await page.evaluate('document.activeElement.id'), 'main');
        });

        await promise('arrow keys read a chart', async () => {
            await until(async () => (await bars(page, '#types-plot')).length, 10);
            await page.locator('#timeline-plot svg').focus();
            await page.keyboard.press('End');

            const [first, second] = ranked('event_type');

            await page.locator('#types-plot svg').focus();
            await page.keyboard.press('Home');
            await until(() => page.locator('#tooltip b').textContent(), first[0]);
            await page.keyboard.press('ArrowDown');
            await until(() => page.locator('#tooltip b').textContent(), second[0]);
            await page.keyboard.press('Escape');
            await until(() => page.locator('#tooltip').isVisible(), false);
        });
    });
}


async function refreshing() {
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
        }));

    /* the page's clock stands still in these two, but for what we let pass */

    const before = async (page) => {
        await page.clock.install();
        await page.clock.pauseAt(Date.now() + 1000);
    };

    await promise('a hidden page asks for nothing, and catches up when shown', async () => {
        let asked = 0;

        await visit('/', { before }, async (page) => {
            await until(() => text(page, '#live-text'), 'Live');
            await until(async () => /up/.test(await text(page, '#health')), true);
            page.on('request', () => { asked++; });

            await page.evaluate(() => {
                Object.defineProperty(document, 'hidden',
                    { configurable: true, get: () => true });
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
    });

    await promise('a slow answer is waited for, without asking again', async () => {
        const held = [];

        await visit('/', { before }, async (page) => {
            await until(() => text(page, '#live-text'), 'Live');
            await page.route('**/stats/total', (route) => held.push(route));
            await page.clock.runFor(4000);
            await until(() => held.length, 1);
            await page.clock.runFor(5000);
            assert.equal(held.length, 1);
            await held.shift().continue();
            await page.waitForResponse('**/stats/recent-activity*');
            await until(async () => {
                await page.clock.runFor(1000);
                return held.length;
            }, 1);
            await held.shift().continue();
        });
    });

    await promise('an answer that is not exact is marked so', () =>
        visit('/', {
            before: (page) => page.route('**/stats/total', async (route) => {
                const response = await route.fetch();
                await route.fulfill({ response, headers: {
                    ...response.headers(),
                    'x-analytics-exact': 'false; unique_users is an estimate',
                } });
            }),
        }, async (page) => {
            await until(() => page.locator('#unique-users .approximate')
                .getAttribute('title'), 'unique_users is an estimate');
        }));
}


async function documentation() {
    for (const path of ['/docs', '/api/swagger']) {
        await promise(`${path} shows the operations, all from here`, () =>
            visit(path, {}, async (page) => {
                await page.getByText('Store events', { exact: true }).waitFor();
                await page.locator('#operations-Statistics-statsOverTime').click();
                await page.getByText('Every day of the span').waitFor();
                await shot(page, path.slice(1).replace('/', '-'));
            }));
    }

    await promise('/redoc shows the operations, all from here', () =>
        visit('/redoc', {}, async (page) => {
            await page.getByRole('heading', { name: 'Store events' }).first()
                .waitFor();
            await page.getByPlaceholder('Search').fill('minutes');
            await page.getByRole('search').getByText('The last minutes').first()
                .waitFor();
            await shot(page, 'redoc');
        }));
}


if (!BASE) {
    process.stderr.write('BASE_URL is not set\n');
    process.exit(2);
}

await open();

try {
    for (const part of [emptyAndFirst, charts, overTime, more, lists, themes,
                        phone, keyboard, refreshing, documentation])
    {
        try {
            await part();
        } catch (error) {
            await promise(`${part.name}: the page had nothing to complain of`,
                () => { throw error; });
        }
    }
} finally {
    await close();
}

process.exitCode = done();
