// Nothing is looked up elsewhere: no validator badge; and tokens are not remembered.
window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: "none",
});
