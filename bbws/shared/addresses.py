"""Public addresses that several parts know: the gateway answers there; mails, documents and PayFast are told them."""

API = "/v1.0"
REGISTRATIONS = f"{API}/registrations"
PAYFAST_ITN = f"{API}/payments/payfast/itn"

# The page behind the links of registration mails.
REGISTRATION_PAGE = "/registration"
# Opened with the order's key (`sales/order_keys.py`), as are the pages below it.
ORDER_PAGE = "/orders/{tenantId}/{orderId}"
