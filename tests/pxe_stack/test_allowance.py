"""How often in a second, for one and for all."""

from pxe_stack.allowance import Allowance


def test_one_client_has_few_in_a_second_and_others_still_have_theirs():
    errors = Allowance(10, 500)

    taken = [errors.take("10.0.0.1", 5.0) for _ in range(100)]

    assert taken == [True] * 10 + [False] * 90
    assert errors.take("10.0.0.2", 5.5)
    assert errors.take("10.0.0.1", 6.1)


def test_all_clients_together_are_bounded_in_a_second():
    errors = Allowance(10, 500)

    taken = [errors.take(f"10.0.{n >> 8}.{n & 255}", 5.0) for n in range(5_000)]

    assert sum(taken) == 500
    assert len(errors._used) == 500
