"""Packing, keys, identities and seeds: properties over any subsets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from estimators.retrains import Retrains
from estimators.seeding import derive_seed, retrain_seeds
from estimators.subsets import identity_order, instance_identities, pack, subset_keys, unpack

MEMBERS = hnp.arrays(np.bool_, st.tuples(st.integers(0, 6), st.integers(1, 40)))


def identities_of(n):
    return instance_identities([b"instance %d" % i for i in range(n)])


@given(MEMBERS)
@settings(deadline=None)
def test_unpacking_what_was_packed_gives_it_back(members):
    packed = pack(members)
    assert packed.shape == (len(members), -(-members.shape[1] // 8))
    np.testing.assert_array_equal(unpack(packed, members.shape[1]), members)


@given(MEMBERS)
@settings(deadline=None)
def test_the_packed_bit_of_instance_i_is_bit_i_mod_8_of_byte_i_div_8(members):
    packed = pack(members)
    for k, i in np.argwhere(members)[:20]:
        assert packed[k, i // 8] >> (i % 8) & 1


@given(MEMBERS, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_keys_do_not_depend_on_the_order_of_the_training_file(members, random):
    n = members.shape[1]
    order = list(range(n))
    random.shuffle(order)
    identities = identities_of(n)
    assert subset_keys(members, identities) == subset_keys(members[:, order], identities[order])


@given(MEMBERS)
@settings(deadline=None)
def test_two_rows_share_a_key_exactly_where_they_are_one_subset(members):
    keys = subset_keys(members, identities_of(members.shape[1]))
    for a in range(len(members)):
        for b in range(len(members)):
            assert (keys[a] == keys[b]) == bool((members[a] == members[b]).all())


@given(MEMBERS, st.integers(1, 5))
@settings(deadline=None)
def test_keys_outlive_instances_added_to_the_training_set(members, more):
    n = members.shape[1]
    wider = np.concatenate([members, np.zeros((len(members), more), dtype=bool)], axis=1)
    assert subset_keys(members, identities_of(n)) == subset_keys(wider, identities_of(n + more))


def test_a_changed_label_makes_another_subset_but_only_where_it_is_a_member():
    before, after = instance_identities([b"x0 y0", b"x1 y0"]), instance_identities([b"x0 y0", b"x1 y1"])
    members = np.array([[True, False], [False, True]])
    old, new = subset_keys(members, before), subset_keys(members, after)
    assert old[0] == new[0]
    assert old[1] != new[1]


def test_exact_copies_have_identities_of_their_own():
    identities = instance_identities([b"same", b"other", b"same"])
    assert len({row.tobytes() for row in identities}) == 3
    again = instance_identities([b"same", b"same", b"other"])
    assert {row.tobytes() for row in identities} == {row.tobytes() for row in again}


def test_identity_order_sorts_by_bytes():
    identities = identities_of(50)
    ordered = [row.tobytes() for row in identities[identity_order(identities)]]
    assert ordered == sorted(ordered)


@given(st.lists(st.one_of(st.integers(-(2**70), 2**70), st.text(), st.binary()), max_size=4))
@settings(deadline=None)
def test_seeds_are_64_bits_and_the_same_parts_give_the_same_seed(parts):
    seed = derive_seed(*parts)
    assert 0 <= seed < 2**64
    assert seed == derive_seed(*parts)


@pytest.mark.parametrize(
    ("a", "b"), [(("1", "23"), ("12", "3")), ((1,), ("1",)), (("a", ""), ("a",)), ((b"a",), ("a",))]
)
def test_other_parts_give_other_seeds(a, b):
    assert derive_seed(*a) != derive_seed(*b)


def test_a_retrains_seed_depends_on_learner_seed_key_and_replicate_alone():
    keys, replicates = [b"k1", b"k2", b"k1"], np.array([0, 0, 1])
    seeds = retrain_seeds(3, keys, replicates)
    assert seeds.dtype == np.uint64
    assert len(set(seeds.tolist())) == 3
    assert retrain_seeds(3, keys[::-1], replicates[::-1])[::-1].tolist() == seeds.tolist()
    assert retrain_seeds(4, keys, replicates).tolist() != seeds.tolist()


def test_retrains_refuse_losses_of_another_shape():
    members = np.ones((3, 4), dtype=bool)
    with pytest.raises(ValueError, match=r"expected \(3, n_test\)"):
        Retrains(members, np.ones((2, 5)))
    with pytest.raises(ValueError, match=r"expected \(3, 4\)"):
        Retrains(members, np.ones((3, 5)), np.ones((3, 5)))
