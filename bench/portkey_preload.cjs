// Portkey appends to the headers of fetch's answers, which Node 20 forbids: each of its streams would
// be answered 500. Answers that can be changed are handed to it, with the same body.
"use strict";
const fetched = globalThis.fetch;
globalThis.fetch = async (...words) => {
  const answer = await fetched(...words);
  return new Response(answer.body, { status: answer.status, headers: new Headers(answer.headers) });
};
