"use strict";

const place = document.getElementById("swagger-ui");

// Without the bar at the top: it would show any document that an address names, as if it were ours.
window.ui = SwaggerUIBundle({
  url: place.dataset.document,
  domNode: place,
  deepLinking: true,
  persistAuthorization: true,
});
