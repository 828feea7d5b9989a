"""Names of values, methods and losses as papers write them."""

_NAMES = {
    "ame": "AME",
    "c_score": "C-score",
    "data_oob": "Data-OOB",
    "downsampling": "Downsampling",
    "g_shapley": "G-Shapley",
    "held_out_loss": "held-out loss",
    "leave_one_out": "leave-one-out",
    "expected_leave_one_out": "expected leave-one-out",
    "shapley_taylor": "Shapley-Taylor interaction",
    "cross_entropy": "cross-entropy",
    "zero_one": "zero-one loss",
    "arnoldi_influence": "Arnoldi influence function",
    "cooks_distance": "Cook's distance",
    "datainf": "DataInf",
    "dffits": "DFFITS",
    "fast_if": "FastIF",
    "gas": "GAS",
    "gas_l": "GAS-L",
    "hydra": "HyDRA",
    "hydra_fast": "HyDRA without curvature",
    "in_run_shapley": "In-Run Data Shapley",
    "in_run_shapley_first": "In-Run Data Shapley of first order",
    "logra": "LoGra",
    "pbrf": "PBRF",
    "relative_influence_loss": "\N{SCRIPT SMALL L}-RelatIF",
    "relative_influence_theta": "theta-RelatIF",
    "representer_l1": "L1 representer",
    "representer_lje": "RPS-LJE",
    "representer_nuclear": "nuclear norm representer",
    "ridge_leave_one_out": "leave-one-out in closed form",
    "sgd_influence": "SGD-Influence",
    "source": "Source",
    "tracin": "TracIn",
    "tracin_ad": "TracInAD",
    "tracin_cp": "TracInCP",
    "tracin_expected": "TracInCP in the unit of the loss",
    "tracin_ideal": "TracIn, ideal form",
    "tracin_last": "TracIn-Last",
    "tracin_rp": "TracInRP",
    "tracin_vae": "VAE-TracIn",
    "tracin_we": "TracIn-WE",
    "trak": "TRAK",
}
OWN = " self-influence"
_PROPER = {"banzhaf": "Banzhaf", "beta": "Beta", "shapley": "Shapley"}


def in_words(name: str) -> str:
    """A method's or loss's name as words: "held_out_loss" is "held-out loss", "beta_shapley" "Beta Shapley"."""
    method = name.removesuffix(OWN)
    if method != name:
        return in_words(method) + OWN
    return _NAMES.get(name) or " ".join(_PROPER.get(word, word) for word in name.split("_"))
