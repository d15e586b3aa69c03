/*
 * Swagger UI over /openapi.json.  It asks no other host: no validator.
 */

'use strict';

window.SwaggerUIBundle({
    url: '/openapi.json',
    dom_id: '#api',
    deepLinking: true,
    validatorUrl: null,
    docExpansion: 'list',
    defaultModelsExpandDepth: 0,
    tryItOutEnabled: true,
});

/* Swagger UI has a dark look of its own, which a class turns on. */
const dark = window.matchMedia('(prefers-color-scheme: dark)');

function look() {
    const chosen = document.documentElement.dataset.theme;

    document.documentElement.classList.toggle('dark-mode',
        chosen ? chosen === 'dark' : dark.matches);
}

dark.addEventListener('change', look);
look();
