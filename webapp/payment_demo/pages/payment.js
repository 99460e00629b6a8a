// Prepare, pay and complete a payment, then show its state as the API reports it. The result of the
// browser SDK is never used as the payment's state.
"use strict";

const api = "/api/v1";
const pollMs = 1_000;
const words = {
  PENDING: "결제를 확인하고 있습니다",
  CREDITED: "충전되었습니다",
  PARTIALLY_CANCELLED: "일부 환불되었습니다",
  CANCELLED: "환불되었습니다",
  EXPIRED: "결제 시간이 만료되었습니다",
  MISMATCHED: "결제 정보가 일치하지 않아 확인이 필요합니다",
};
const element = (id) => document.getElementById(id);
const won = (amount) => `${new Intl.NumberFormat("ko-KR").format(amount)}원`;

// State in the tab's storage: PortOne may redirect the browser away and back, and the page may be
// reloaded during a payment.
const kept = {
  get: (name) => sessionStorage.getItem(`payment-demo-${name}`),
  set: (name, value) => sessionStorage.setItem(`payment-demo-${name}`, value),
  remove: (name) => sessionStorage.removeItem(`payment-demo-${name}`),
};

async function call(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  if (kept.get("token")) headers.Authorization = `Bearer ${kept.get("token")}`;
  const response = await fetch(api + path, { method, headers, body: body && JSON.stringify(body) });
  const content = await response.json();
  if (response.status === 401) signedOut();
  if (!response.ok) throw new Error(content.detail ?? content.title);
  return content.data;
}

async function signIn() {
  const tokens = await call("POST", "/users/login", { email: element("email").value, password: element("password").value });
  element("password").value = "";
  kept.set("token", tokens.access_token);
  await signedIn();
}

async function signedIn() {
  const balance = await call("GET", "/balance");
  element("sign-in").hidden = true;
  element("charge").hidden = false;
  element("cash").hidden = false;
  showCash(balance.cash_balance, balance.cash_balance);
}

function signedOut() {
  kept.remove("token");
  for (const id of ["charge", "state", "cash"]) element(id).hidden = true;
  element("sign-in").hidden = false;
}

async function pay() {
  if (!window.PortOne) throw new Error("결제창을 불러오지 못했습니다. 새로 고친 뒤 다시 시도해 주세요.");
  const { cash_balance } = await call("GET", "/balance");
  kept.set("before", cash_balance);
  const prepared = await call("POST", "/payments/portone/prepare", { amount: element("amount").valueAsNumber, order_name: "예수금 충전" });
  kept.set("payment", prepared.payment_id);
  try {
    const result = await window.PortOne.requestPayment({
      storeId: prepared.store_id,
      channelKey: prepared.channel_key,
      paymentId: prepared.payment_id,
      orderName: prepared.order_name,
      totalAmount: prepared.amount,
      currency: prepared.currency,
      payMethod: element("method").value,
      redirectUrl: location.origin + location.pathname,
    });
    if (result === undefined) return; // The browser is leaving for the payment window.
    await complete(result.paymentId, result.code && result.message);
  } catch (fault) {
    // Refused before the window opened. The API still decides the payment's state.
    await complete(prepared.payment_id, fault.message);
  }
}

// Also called after a failure: the gateway may approve a payment that its window reported as failed.
async function complete(paymentId, failure) {
  say(failure ? failure.replace(/^\[[^\]]*\]\s*/, "") : "");
  await call("POST", "/payments/portone/complete", { payment_id: paymentId });
  follow(paymentId);
}

// Show the payment's state once a second until it is no longer PENDING.
function follow(paymentId) {
  element("state").hidden = false;
  watch(paymentId).catch((fault) => say(fault.message));
}

async function watch(paymentId) {
  for (;;) {
    const payment = await call("GET", `/payments/${paymentId}`);
    const balance = await call("GET", "/balance");
    if (kept.get("payment") !== paymentId) return; // Another payment has started.
    showState(payment);
    showCash(Number(kept.get("before")), balance.cash_balance);
    if (payment.status !== "PENDING") return;
    await new Promise((wake) => setTimeout(wake, pollMs));
  }
}

function showState(payment) {
  const status = element("status");
  status.textContent = words[payment.status] ?? payment.status;
  status.dataset.status = payment.status;
  const account = payment.virtual_account;
  const facts = {
    "결제 번호": payment.payment_id,
    "금액": won(payment.amount),
    "입금 계좌": account && `${account.bank ?? ""} ${account.number ?? ""}`.trim(),
    "실패 사유": payment.status === "PENDING" && payment.failure,
  };
  const rows = Object.entries(facts).filter(([, value]) => value);
  element("facts").replaceChildren(...rows.flatMap(([name, value]) => [newElement("dt", name), newElement("dd", value)]));
}

function newElement(tag, text) {
  const node = document.createElement(tag);
  node.textContent = text;
  return node;
}

function showCash(before, after) {
  element("before").textContent = won(before);
  element("after").textContent = won(after);
  const change = after - before;
  element("change").textContent = `${change > 0 ? "+" : ""}${won(change)}`;
}

function say(text) {
  element("message").textContent = text;
}

function submitting(form, work) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    say("");
    await work().catch((fault) => say(fault.message));
    button.disabled = false;
  });
}

async function begin() {
  submitting(element("sign-in"), signIn);
  submitting(element("charge"), pay);
  if (!kept.get("token")) return;
  await signedIn();
  const returned = new URLSearchParams(location.search);
  history.replaceState(null, "", location.pathname);
  if (returned.get("paymentId")) await complete(returned.get("paymentId"), returned.get("code") && returned.get("message"));
  else if (kept.get("payment")) follow(kept.get("payment"));
}

begin().catch((fault) => say(fault.message));
