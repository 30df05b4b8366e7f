from kgen.data.sources.base import order_class_names


def test_class_names_are_in_natural_order_when_all_are_whole_numbers():
    assert order_class_names(map(str, range(12))) == tuple(map(str, range(12)))
    assert order_class_names(["01", "2", "10", "2"]) == ("01", "2", "10")
    assert order_class_names(["1", "-1", "01"]) == ("-1", "01", "1")
    assert order_class_names(["10", "9", "nine"]) == ("10", "9", "nine")
    assert order_class_names([]) == ()
