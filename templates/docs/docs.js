"use strict";
/* Renders /openapi.json. Texts go into the page as text, never as HTML. */

const MAX_SHOWN_CHARS = 200000;
const JSON_TYPE = "application/json";
let api;

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function resolve(value) {
  if (!value || !value.$ref) return value;
  return value.$ref.slice(2).split("/").reduce((node, key) => node[key], api);
}

/* `name` in a text is code. */
function prose(text) {
  return make("span", {}, ...(text || "").split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part)));
}

const nameOf = (schema) => schema.$ref.split("/").pop();

/* What a schema is, as content of a table cell: a word, or a link to the schema. */
function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return make("a", { href: `#schema-${nameOf(schema)}` }, nameOf(schema));
  if (schema.anyOf) {
    const parts = schema.anyOf.flatMap((each, index) => (index ? [" or ", typeOf(each)] : [typeOf(each)]));
    return make("span", {}, ...parts);
  }
  if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(" or ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.type === "array") return make("span", {}, "list of ", typeOf(schema.items) || "anything");
  return [schema.type, schema.format && ` (${schema.format})`, limitsOf(schema)].filter(Boolean).join("");
}

function limitsOf(schema) {
  const words = { minimum: "from", maximum: "to", minLength: "at least", maxLength: "at most", pattern: "like" };
  const parts = Object.keys(words).filter((key) => key in schema).map((key) => `${words[key]} ${schema[key]}`);
  return parts.length ? `, ${parts.join(", ")}` : "";
}

function example(schema, depth = 0) {
  schema = resolve(schema) || {};
  if ("default" in schema) return schema.default;
  if (schema.examples) return schema.examples[0];
  if (schema.anyOf) return example(schema.anyOf[0], depth);
  if (schema.enum) return schema.enum[0];
  if ("const" in schema) return schema.const;
  if (schema.type === "object") return depth > 5 ? {} : exampleObject(schema, depth);
  if (schema.type === "array") return schema.items && depth < 5 ? [example(schema.items, depth + 1)] : [];
  if (schema.type === "integer" || schema.type === "number") return schema.minimum ?? 0;
  if (schema.type === "boolean") return false;
  return exampleText(schema);
}

function exampleObject(schema, depth) {
  const required = new Set(schema.required || []);
  const names = Object.keys(schema.properties || {}).filter((name) => required.has(name));
  return Object.fromEntries(names.map((name) => [name, example(schema.properties[name], depth + 1)]));
}

function exampleText(schema) {
  const texts = { email: "thandi@protea.example", date: "2026-11-21", uri: "https://bbws.example/terms" };
  if (texts[schema.format]) return texts[schema.format];
  if (/\{8\}-/.test(schema.pattern || "")) return "019abf6e-5d1c-7c3e-9d7b-3f1f6f3c2a10";
  return "text";
}

function table(headings, rows) {
  const head = make("tr", {}, ...headings.map((text) => make("th", { scope: "col" }, text)));
  const body = rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell || ""))));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
}

const fieldName = (name, required) => make("code", required ? { class: "required" } : {}, name);

function parameterTable(operation) {
  const rows = operation.parameters.map((each) => [
    fieldName(each.name, each.required), each.in, typeOf(each.schema), prose(each.description),
  ]);
  return rows.length ? [make("h3", {}, "Parameters"), table(["Name", "In", "Type", "Meaning"], rows)] : [];
}

function bodyPart(operation) {
  if (!operation.requestBody) return [];
  const content = Object.entries(operation.requestBody.content);
  return [make("h3", {}, "Body"), ...content.map(([media, each]) => make("p", {}, make("code", {}, media), " ", typeOf(each.schema)))];
}

function answerTable(operation) {
  const rows = Object.entries(operation.responses).map(([status, raw]) => {
    const answer = resolve(raw);
    const content = Object.entries(answer.content || {});
    const forms = content.map(([media, each]) => make("div", {}, make("code", {}, media), " ", typeOf(each.schema)));
    return [make("code", {}, status), prose(answer.description), make("div", {}, ...forms), Object.keys(answer.headers || {}).join(", ")];
  });
  return [make("h3", {}, "Answers"), table(["Status", "Meaning", "Content", "Headers"], rows)];
}

function field(parameter) {
  const input = make("input", { name: parameter.name, "data-in": parameter.in });
  if (parameter.required) input.required = true;
  if (parameter.name === "Idempotency-Key" && parameter.required) input.value = `"${crypto.randomUUID?.() ?? Date.now()}"`;
  return make("label", {}, fieldName(parameter.name, parameter.required), input);
}

function tryForm(method, path, operation) {
  const form = make("form", {}, make("h3", {}, "Try it"), ...operation.parameters.map(field));
  const [media, content] = Object.entries(operation.requestBody?.content || {})[0] || [];
  if (media) {
    const area = make("textarea", { "data-media": media, spellcheck: "false" });
    area.value = media === JSON_TYPE ? JSON.stringify(example(content.schema), null, 2) : "";
    form.append(make("label", {}, "Body", area));
  }
  const output = make("pre", { hidden: "", tabindex: "0", "aria-label": "Answer" });
  form.append(make("button", { type: "submit" }, "Send"), output);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form, method, path, operation, output);
  });
  return form;
}

/* The right that an operation needs, or nothing. */
const rightOf = (operation) => operation.security?.flatMap((each) => Object.values(each).flat())[0];

/* The token stays in its field: this page keeps nothing, and sends it only where it is needed. */
function authorize(headers) {
  const token = document.getElementById("token").value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
}

async function send(form, method, path, operation, output) {
  output.hidden = false;
  output.textContent = "…";
  try {
    const { url, options } = requestOf(form, method, path);
    if (rightOf(operation)) authorize(options.headers);
    const answer = await fetch(url, options);
    const streamed = answer.headers.get("Content-Type")?.startsWith("text/event-stream");
    output.textContent = headOf(answer);
    await (streamed ? showStream(answer, output) : showWhole(answer, output));
  } catch (error) {
    output.textContent = `Not sent: ${error.message}`;
  }
}

function requestOf(form, method, path) {
  const query = new URLSearchParams();
  const headers = {};
  for (const input of form.querySelectorAll("input")) {
    if (!input.value) continue;
    if (input.dataset.in === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(input.value));
    if (input.dataset.in === "query") query.set(input.name, input.value);
    if (input.dataset.in === "header") headers[input.name] = input.value;
  }
  const area = form.querySelector("textarea");
  if (area) headers["Content-Type"] = area.dataset.media;
  const url = query.size ? `${path}?${query}` : path;
  return { url, options: { method: method.toUpperCase(), headers, body: area ? area.value : undefined } };
}

function headOf(answer) {
  const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`);
  return [`${answer.status} ${answer.statusText}`, ...headers, "", ""].join("\n");
}

async function showWhole(answer, output) {
  const type = answer.headers.get("Content-Type") || "";
  const text = /json|text/.test(type) ? await answer.text() : `(${(await answer.blob()).size} bytes)`;
  output.textContent += (/json/.test(type) ? pretty(text) : text).slice(0, MAX_SHOWN_CHARS);
}

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

async function showStream(answer, output) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) output.textContent += part.value;
}

function operationCard(path, method, operation) {
  const card = make("details", { id: operation.operationId });
  const head = make("summary", {}, make("span", { class: `method ${method}` }, method.toUpperCase()),
    make("span", { class: "path" }, path), make("span", { class: "operation-id" }, operation.operationId),
    rightOf(operation) ? make("span", { class: "right" }, `needs ${rightOf(operation)}`) : "", make("div", {}, operation.summary));
  card.append(head);
  card.addEventListener("toggle", () => card.open && card.children.length === 1 && card.append(make("div", {},
    make("p", {}, prose(operation.description)), ...parameterTable(operation), ...bodyPart(operation),
    ...answerTable(operation), tryForm(method, path, operation))));
  card.dataset.text = `${method} ${path} ${JSON.stringify(operation)}`.toLowerCase();
  return card;
}

function schemaCard(name, schema) {
  const required = new Set(schema.required || []);
  const rows = Object.entries(schema.properties || {}).map(([field, each]) => [
    fieldName(field, required.has(field)), typeOf(each), prose(each.description),
  ]);
  const content = rows.length ? table(["Field", "Type", "Meaning"], rows) : make("pre", {}, JSON.stringify(schema, null, 2));
  const card = make("details", { id: `schema-${name}` }, make("summary", {}, make("code", {}, name)),
    make("div", {}, make("p", {}, prose(schema.description)), content));
  card.dataset.text = `${name} ${JSON.stringify(schema)}`.toLowerCase();
  return card;
}

function render() {
  document.title = `${api.info.title} API`;
  document.getElementById("title").textContent = `${api.info.title} API ${api.info.version}`;
  document.getElementById("about").append(prose(`${api.info.summary} ${api.info.description}`));
  const operations = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })));
  for (const { name } of api.tags) renderGroup(name, operations.filter((each) => each.operation.tags.includes(name)));
  const schemas = Object.entries(api.components.schemas).map(([name, schema]) => schemaCard(name, schema));
  document.getElementById("schemas").append(...schemas);
  document.getElementById("schemas").hidden = false;
  document.getElementById("status").hidden = true;
}

function renderGroup(name, members) {
  const links = members.map(({ operation }) => {
    const link = make("a", { href: `#${operation.operationId}` }, operation.summary);
    link.dataset.for = operation.operationId;
    return link;
  });
  document.getElementById("contents").append(make("section", {}, make("h2", {}, name), ...links));
  document.getElementById("operations").append(...members.map((each) => operationCard(each.path, each.method, each.operation)));
}

function search(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const card of document.querySelectorAll("details[id]")) {
    card.hidden = !words.every((word) => card.dataset.text.includes(word));
    shown += card.hidden ? 0 : 1;
  }
  for (const link of document.querySelectorAll("nav a")) link.hidden = document.getElementById(link.dataset.for).hidden;
  for (const group of document.querySelectorAll("nav section")) group.hidden = !group.querySelector("a:not([hidden])");
  const status = document.getElementById("status");
  status.hidden = shown > 0;
  status.textContent = "Nothing holds these words.";
}

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

async function start() {
  try {
    api = await (await fetch("/openapi.json")).json();
    render();
    openTarget();
  } catch (error) {
    document.getElementById("status").textContent = `The description could not be read: ${error.message}`;
  }
}

document.getElementById("search").addEventListener("input", (event) => search(event.target.value));
window.addEventListener("hashchange", openTarget);
start();
