// What a shop's page loads in place of PortOne's SDK: window.PortOne.requestPayment, as far as the stand-in has it.
(() => {
  "use strict";
  const standIn = new URL(document.currentScript.src).origin;

  class PortOneError extends Error {
    constructor(refusal) {
      super(refusal.message);
      Object.assign(this, refusal, { name: "PortOneError" });
    }
  }

  // Resolves with the payment's result, rejects for what was refused before a window opened; undefined when the page is left.
  async function requestPayment(request) {
    const isMobile = /Mobi|Android/i.test(navigator.userAgent);
    const answer = await fetch(`${standIn}/sandbox/portone/sdk/request-payment`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...request, isMobile }),
    });
    const begun = await answer.json();
    if (!begun.checkoutUrl) {
      const refusal = begun.refusal ?? { code: "UnknownError", message: begun.message ?? "UnknownError" };
      if (begun.rejects === false) return refusal;
      throw new PortOneError(refusal);
    }
    if (request.forceRedirect || (isMobile && request.redirectUrl)) {
      location.assign(begun.checkoutUrl);
      return undefined;
    }
    return shown(begun);
  }

  // The window over the page, until it tells its result.
  function shown({ checkoutUrl, txId }) {
    const frame = document.createElement("iframe");
    frame.src = checkoutUrl;
    frame.title = "PortOne 모의 결제창";
    Object.assign(frame.style, {
      position: "fixed", inset: "0", width: "100%", height: "100%", border: "0", zIndex: "2147483647", background: "rgb(15 23 42 / .6)",
    });
    document.body.append(frame);
    frame.focus();
    return new Promise((resolve) => {
      addEventListener("message", function listen(event) {
        const isOurs = event.origin === standIn && event.source === frame.contentWindow && event.data?.txId === txId;
        if (!isOurs) return;
        removeEventListener("message", listen);
        frame.remove();
        resolve(event.data);
      });
    });
  }

  window.PortOne = { requestPayment, PortOneError };
})();
