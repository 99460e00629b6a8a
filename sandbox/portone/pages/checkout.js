// Payment window of the PortOne sandbox. Each button is an action of the payer; its result is posted
// to the shop's page.
"use strict";
const here = location.pathname;
const message = document.getElementById("message");
const buttons = document.querySelectorAll("[data-action]");
let order;

async function show() {
  const answer = await fetch(`${here}/order`);
  if (!answer.ok) return finish("이 결제창은 더 이상 쓸 수 없습니다.");
  order = await answer.json();
  const won = new Intl.NumberFormat("ko-KR").format(order.totalAmount);
  document.getElementById("order-name").textContent = order.orderName;
  document.getElementById("amount").textContent = order.currency === "KRW" ? `${won}원` : `${won} ${order.currency}`;
  document.getElementById("channel").textContent = `${order.channel.pgProvider} · ${order.channel.type}`;
  document.getElementById("payment-id").textContent = order.paymentId;
  document.querySelector("[data-action=pay]").focus();
}

async function act(deed) {
  for (const button of buttons) button.disabled = true;
  const body = { webhook: document.getElementById("webhook").value };
  if (document.getElementById("forged").checked) body.amount = order.totalAmount + 1;
  const answer = await fetch(`${here}/${deed}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const reply = await answer.json();
  if (!answer.ok) return finish(`할 수 없는 동작입니다: ${reply.type}`);
  if (reply.result === null) return finish("결제되었지만 상점 화면에는 알리지 않았습니다. 이 창을 닫아 주세요.");
  if (reply.redirect) return location.assign(reply.redirect);
  finish("상점 화면으로 돌아가 주세요.");
  parent.postMessage(reply.result, reply.origin);
}

function finish(text) {
  for (const button of buttons) button.disabled = true;
  message.textContent = text;
}

for (const button of buttons) button.addEventListener("click", () => act(button.dataset.action));
show();
