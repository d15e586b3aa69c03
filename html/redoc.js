/*
 * ReDoc over /openapi.json.
 */

'use strict';

/*
 * ReDoc signs its menu with an image from a host of its own.  Nothing here
 * loads from another host: the image is told that it failed, and goes.
 */
(function () {
    const image = HTMLImageElement.prototype;
    const src = Object.getOwnPropertyDescriptor(image, 'src');

    const foreign = (url) =>
        new URL(url, location.href).origin !== location.origin;

    const refuse = (node) =>
        setTimeout(() => node.dispatchEvent(new Event('error')));

    Object.defineProperty(image, 'src', {
        ...src,
        set(url) {
            if (foreign(url)) {
                refuse(this);
            } else {
                src.set.call(this, url);
            }
        },
    });

    image.setAttribute = function (name, value) {
        if (name === 'src' && foreign(value)) {
            refuse(this);
        } else {
            Element.prototype.setAttribute.call(this, name, value);
        }
    };
}());

window.Redoc.init('/openapi.json', {
    hideDownloadButton: false,
    hideLoading: false,
    expandResponses: '200,201',
    requiredPropsFirst: true,
    scrollYOffset: '.back',
    theme: {
        colors: { primary: { main: '#0b7a4b' } },
        typography: {
            fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, '
                + '"Liberation Sans", Arial, sans-serif',
            headings: {
                fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, '
                    + '"Liberation Sans", Arial, sans-serif',
            },
            code: {
                fontFamily: 'ui-monospace, Menlo, Consolas, '
                    + '"DejaVu Sans Mono", monospace',
            },
        },
    },
}, document.getElementById('api'));
