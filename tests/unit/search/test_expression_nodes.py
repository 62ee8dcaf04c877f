"""The walk over the nodes of an expression that are about one resource."""

from fhirserver.search.expression import (
    All,
    AnyOf,
    Chain,
    Everything,
    Has,
    Identity,
    Not,
    OfType,
    nodes,
)


def test_every_node_is_met_in_the_order_it_is_written():
    inner = AnyOf((OfType(("Patient",)), Not(Identity(("b",)))))
    whole = All((Identity(("a",)), inner))
    assert list(nodes(whole)) == [
        whole,
        Identity(("a",)),
        inner,
        OfType(("Patient",)),
        Not(Identity(("b",))),
        Identity(("b",)),
    ]


def test_what_is_about_another_resource_is_not_gone_into():
    chain = Chain("subject", ("Patient",), Has("Consent", "patient", Everything()))
    assert list(nodes(Not(chain))) == [Not(chain), chain]


def test_a_deep_tree_is_walked():
    tree = Everything()
    for _ in range(5000):
        tree = Not(tree)
    assert sum(1 for _ in nodes(tree)) == 5001
