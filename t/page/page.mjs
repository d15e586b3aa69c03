/*
 * The page, in a browser, against a server that has no events yet.
 *
 *     BASE_URL=http://127.0.0.1:8080 node page.mjs
 *
 * SCREENSHOTS names a folder for pictures of what was seen, CHROMIUM another
 * browser than Debian's.
 */

import { BASE, close, open } from './browser.mjs';
import { byDay, byDayPhone } from './days.mjs';
import {
    addresses,
    downloading,
    paging,
    searching,
} from './events.mjs';
import { eventKeyboard, eventPhone, eventThemes } from './events_read.mjs';
import { charts, emptyAndFirst, more, overTime } from './figures.mjs';
import { lists } from './lists.mjs';
import { hostile, opening } from './opened.mjs';
import { posting, troubles } from './posting.mjs';
import { keyboard, phone, themes } from './reading.mjs';
import { documentation, refreshing } from './running.mjs';
import { done, promise } from './tap.mjs';

if (!BASE) {
    process.stderr.write('BASE_URL is not set\n');
    process.exit(2);
}

await open();

try {
    for (const part of [
        emptyAndFirst,
        charts,
        overTime,
        more,
        lists,
        themes,
        phone,
        keyboard,
        refreshing,
        documentation,
        searching,
        addresses,
        paging,
        downloading,
        opening,
        hostile,
        posting,
        troubles,
        eventThemes,
        eventPhone,
        eventKeyboard,
        byDay,
        byDayPhone,
    ]) {
        try {
            await part();
        } catch (error) {
            await promise(
                `${part.name}: the page had nothing to complain of`,
                () => {
                    throw error;
                },
            );
        }
    }
} finally {
    await close();
}

process.exitCode = done();
