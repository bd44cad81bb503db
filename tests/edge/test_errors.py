"""Statuses stand in one table, and the table is whole."""

import pytest

from edge import errors
from edge.errors import CATALOGUE, Refusal, status_of
from models.errors import DomainError

OURS = {errors.Busy, errors.DiskFull, errors.IssuerAway, errors.NoStream}


def family(root):
    return [root, *(member for child in root.__subclasses__() for member in family(child))]


@pytest.mark.parametrize("error", family(DomainError), ids=lambda e: e.__name__)
def test_every_domain_error_has_a_client_status(error):
    assert 400 <= status_of(error) < 500


@pytest.mark.parametrize("error", sorted(set(family(Refusal)) - OURS, key=str), ids=str)
def test_every_refusal_that_is_not_our_own_fault_has_a_client_status(error):
    assert 400 <= status_of(error) < 500


def test_no_row_is_left_that_nothing_answers_with():
    raised = {error.code for root in (DomainError, Refusal) for error in family(root)}
    by_framework = set(errors.BY_STATUS.values())

    assert raised | by_framework | {"unavailable", "internal"} == set(CATALOGUE)


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_type_of_problem_is_documented_for_anybody(bare, code):
    answer = bare.test_client().get(f"/problems/{code}")

    assert answer.status_code == 200
    assert CATALOGUE[code].title in answer.text


def test_an_unknown_type_of_problem_is_not_documented(bare):
    assert bare.test_client().get("/problems/nothing").status_code == 404
