import pickle

import pytest

from config.secrets import BadReference, Reference, Secret, Unresolved, from_environment, resolve

BMC = {"SPROUT_SECRET_BMC": "hunter22", "HOME": "/root"}
ENV = {"env": from_environment(BMC, prefix="SPROUT_SECRET_")}


@pytest.mark.parametrize("shown", [repr, str, "{}".format, "{:>20}".format, "%s".__mod__])
def test_secret_has_no_text(shown):
    assert "hunter22" not in shown(Secret("hunter22"))


def test_secret_is_revealed_to_who_asks():
    assert Secret("hunter22").reveal() == "hunter22"


def test_secret_is_not_pickled():
    with pytest.raises(TypeError, match="send its reference"):
        pickle.dumps(Secret("hunter22"))


@pytest.mark.parametrize("text", ["env:BMC_RACK_4", "vault:kv/site-a/bmc#password"])
def test_reference_is_read_and_written_alike(text):
    assert str(Reference.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "hunter22", "env:", "env:lower", "env:A B", "file:/etc/shadow"),
        *("vault:kv/bmc", "vault:#", "vault:kv#key", "vault:/kv/bmc#key", "vault:kv//bmc#key"),
        *("vault:kv/../sys/raw#key", "vault:./bmc#key", "vault:kv/bmc/#key", "vault:kv/..#key"),
    ],
)
def test_other_text_is_refused_without_being_repeated(text):
    with pytest.raises(BadReference) as caught:
        Reference.parse(text)

    assert str(caught.value) == "want env:NAME or vault:PATH#KEY"


def test_env_reference_names_a_variable_by_prefix():
    assert resolve("env:BMC", ENV) == Secret("hunter22")


def test_variable_outside_the_prefix_is_out_of_reach():
    with pytest.raises(Unresolved, match="SPROUT_SECRET_HOME is not set"):
        resolve("env:HOME", ENV)


def test_scheme_without_resolver_says_so():
    with pytest.raises(Unresolved, match="vault is not configured here"):
        resolve("vault:kv/bmc#password", ENV)
