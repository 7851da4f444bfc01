// A thread of its own in which a cloud is arranged: told of the cloud first, and then again and again of what is wanted.

import { Arrangement, arranged } from "./arrangement.js";

/** @type {Arrangement} */
let arrangement;

addEventListener("message", ({ data }) => {
  if (data.points) {
    arrangement = new Arrangement(data.points, data.targets);
    return;
  }
  const answer = arranged(arrangement, data);
  postMessage(answer, { transfer: [answer.places.buffer, answer.orders.buffer] });
});
