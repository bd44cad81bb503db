"""URLs and addresses that can never be asked are known by what they say; no name is looked up."""

import pytest

from models import urls
from models.errors import Invalid

GOOD = (
    "http://images.example/rescue.iso",
    "HTTPS://Images.Example:8443/a%20b?c=d#e",
    "http://10.77.0.1/x",
    "http://[2001:db8::1]:81/x",
    "http://bmc_01.rack.example./x",
    "http://xn--bcher-kva.example/",
    "http://10.example/",
)


@pytest.mark.parametrize("url", GOOD)
def test_a_url_of_a_service_is_taken_wherever_it_may_be_asked_from(url):
    assert urls.fault(url, near=False) == ""


METADATA = (
    "http://169.254.169.254/latest",
    "http://169.254.169.254./latest",
    "http://[::ffff:169.254.169.254]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://2852039166/",
    "http://0xA9FEA9FE/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://100.100.100.200/",
    "https://[fd00:ec2::254]/",
)


@pytest.mark.parametrize("url", METADATA)
def test_a_metadata_service_is_known_however_its_address_is_written(url):
    assert urls.fault(url) == "it leads to a metadata service"


NEAR = (
    "http://127.0.0.1/x",
    "http://127.1/x",
    "http://0x7f000001/x",
    "http://localhost/x",
    "http://LOCALHOST./x",
    "http://any.localhost/x",
    "http://[::1]/x",
    "http://[::ffff:127.0.0.1]/x",
    "http://169.254.1.1/x",
    "http://[fe80::1]/x",
)


@pytest.mark.parametrize("url", NEAR)
def test_what_means_whoever_asks_is_taken_only_where_that_is_meant(url):
    assert urls.fault(url) == ""
    assert urls.fault(url, near=False) == "its address means whoever asks, and nobody else"


NOWHERE = (
    *("", "http://", "http:///x", "//host/x", "host", "ftp://host/x", "file:///etc/passwd"),
    *("http://a b/", "http://host/a b", "http://host/\u00e9", "http://\u202ehost/", "http://a\n/"),
    *("http://host:0/", "http://host:99999/", "http://host:x/", "http://[::1/", "http://-a/"),
    *("http://a:b@host/", "http://a@host/", "http://host\\@evil/", "http://256.0.0.1/"),
    *(
        "http://0.0.0.0/",
        "http://0/",
        "http://[::]/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
    ),
    *("http://08/", "http://1.2.3.4.5.6:x/", "http://[zz]/", "http://a%2eb/"),
)


@pytest.mark.parametrize("url", NOWHERE)
def test_what_no_service_is_at_is_refused_and_not_repeated(url):
    why = urls.fault(url)

    assert why
    assert "host" not in url or url not in why


BOARDS = (
    *(
        ("redfish", a)
        for a in ("10.0.0.5", "bmc.example:8443", "2001:db8::5", "[2001:db8::5]:8443")
    ),
    ("redfish", "http://127.0.0.1:8001/redfish/v1"),
    *(("ipmi", a) for a in ("10.0.0.5", "10.0.0.5:623", "ipmi://bmc.example")),
)


@pytest.mark.parametrize(("protocol", "address"), BOARDS)
def test_a_bmc_is_at_a_url_or_at_a_host(protocol, address):
    assert urls.board_fault(address, protocol) == ""


NO_BOARDS = (
    *(
        ("redfish", a)
        for a in (" ", "a b", "ipmi://h", "ftp://h", "h:0", "h:99999", "[::1", "\u202e")
    ),
    *(("redfish", a) for a in ("169.254.169.254", "0.0.0.0", "224.0.0.1", "a@h", "-oProxy")),
    *(
        ("ipmi", a)
        for a in (
            "https://h",
            "ipmi://",
            "ipmi://a:b@h",
            "ipmi://169.254.169.254",
            "-h",
            "2001:db8::5",
        )
    ),
)


@pytest.mark.parametrize(("protocol", "address"), NO_BOARDS)
def test_no_bmc_is_where_nothing_can_be_asked(protocol, address):
    assert urls.board_fault(address, protocol)


@pytest.mark.parametrize(
    ("place", "near"),
    [
        ("http://127.0.0.1:1", True),
        ("127.0.0.1", True),
        ("10.0.0.5", False),
        ("", False),
        ("[", False),
    ],
)
def test_a_place_is_near_by_how_its_address_is_written(place, near):
    assert urls.special(place) is near


@pytest.mark.parametrize(
    "told",
    [
        "?token=x", "?access_token=x", "?a=1&API-Key=x", "?apikey=x", "?key=x", "?%74oken=x",
        "?a=1;token=x", "?token", "#access_token=x", "?X-Amz-Signature=x", "?sig=x", "?pwd=x",
        "?password=x", "?auth=x", "?jwt=x", "?client_secret=x", "?code=x",
    ],
)  # fmt: skip
def test_a_url_whose_query_bears_a_secret_is_refused_and_its_value_is_not_told(told):
    with pytest.raises(Invalid) as caught:
        urls.demand_no_secret(f"https://catalogue.example/hook{told}", field="/endpoint")

    assert caught.value.field == "/endpoint"
    assert "secretRef" in caught.value.hint
    assert "=x" not in str(caught.value)


@pytest.mark.parametrize(
    "told", ["", "?", "?site=ams-1&limit=50", "?author=x", "?monkey=x", "?keys=all", "?codec=x"]
)
def test_a_url_with_an_ordinary_query_is_taken(told):
    urls.demand_no_secret(f"https://catalogue.example/hook{told}", field="/endpoint")
