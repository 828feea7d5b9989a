"""The gradient methods by name, one row a method: what it is, where it comes from, what it needs. No torch here."""

from dataclasses import dataclass
from typing import Literal

from estimators.gradient.record import Estimator, Projection, Scale

Needs = Literal["the final model", "checkpoints", "every step", "several models"]
Runner = Literal["engine", "nearest", "groups", "trak", "unroll", "response", "head", "closed_form", "python"]
"""engine: an `Estimator` for the one engine. nearest: the same on chosen pairs. groups: the parameters' move without a
group. trak: several models, then one product. unroll: a function of a recorded run. response: the model fine-tuned
without each instance. head: the last layer alone. closed_form: of ridge regression. python: no job carries it out."""
Gives = Literal["matrix", "mean", "strongest", "groups", "self"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientMethod:
    """A gradient method. scale: `loss` estimates a difference of losses, `ranking` only an order.

    estimator: its record, for the engine. layers: patterns of parameters it is meant for ("last": the last layer,
    "embeddings": the embedding tables). function: where to find a method that is no record, as a dotted name; refused:
    why no job carries it out, where none does. gives: what a job gets unasked.
    """

    name: str
    title: str
    formula: str
    paper: str
    equation: str
    scale: Scale
    needs: Needs
    runner: Runner = "engine"
    estimator: Estimator | None = None
    layers: tuple[str, ...] | Literal["last", "embeddings"] = ("*",)
    function: str = ""
    refused: str = ""
    gives: Gives = "matrix"


SURVEY = "Hammoudeh and Lowd 2024"
INFLUENCE = (
    GradientMethod(
        name="influence_function",
        title="Influence function",
        formula="(1/n) g_j A^-1 (g_i, or g_i + penalty theta where the learner averages over n - 1)",
        paper="Koh and Liang, ICML 2017",
        equation=f"{SURVEY}, equation 33",
        scale="loss",
        needs="the final model",
        estimator=Estimator(name="influence_function", curvature="ekfac"),
    ),
    GradientMethod(
        name="arnoldi_influence",
        title="Influence function in the span of the largest eigenvectors",
        formula="(1/n) sum over the k largest |mu_r| of (v_r g_j)(v_r g_i) / mu_r",
        paper="Schioppa, Zablotskaia, Vilar and Sokolov, AAAI 2022",
        equation=f"{SURVEY}, section 5.1.1.3",
        scale="loss",
        needs="the final model",
        estimator=Estimator(name="arnoldi_influence", curvature="lanczos"),
    ),
    GradientMethod(
        name="datainf",
        title="DataInf",
        formula="(1/n) sum over layers of g_j [(1/n) sum_k (g_k g_k^T + d)^-1] g_i",
        paper="Kwon, Wu, Wu and Zou, ICLR 2024",
        equation="",
        scale="ranking",
        needs="the final model",
        estimator=Estimator(name="datainf", curvature="datainf", scale="ranking"),
    ),
    GradientMethod(
        name="logra",
        title="LoGra: influence on factored projections of each layer's gradient",
        formula="(1/n) sum over layers of h_j (E[h h^T] + d)^-1 h_i, h = P_out G P_in^T",
        paper="Choe et al. 2024, arXiv 2405.13954",
        equation="",
        scale="ranking",
        needs="the final model",
        estimator=Estimator(
            name="logra",
            curvature="layer_fisher",
            projection=Projection(kind="factored", dimensions=1024),
            scale="ranking",
        ),
    ),
    GradientMethod(
        name="relative_influence_theta",
        title="theta-RelatIF",
        formula="influence function / ||A^-1 g_i||",
        paper="Barshan, Brunet and Dziugaite, AISTATS 2020",
        equation=f"{SURVEY}, equation 66",
        scale="ranking",
        needs="the final model",
        estimator=Estimator(
            name="relative_influence_theta", curvature="ekfac", normalise="relative_theta", scale="ranking"
        ),
    ),
    GradientMethod(
        name="relative_influence_loss",
        title="l-RelatIF",
        formula="influence function / sqrt(g_i A^-1 g_i)",
        paper="Barshan, Brunet and Dziugaite, AISTATS 2020",
        equation="",
        scale="ranking",
        needs="the final model",
        estimator=Estimator(
            name="relative_influence_loss", curvature="ekfac", normalise="relative_loss", scale="ranking"
        ),
    ),
    GradientMethod(
        name="renormalised_influence",
        title="Renormalised influence function",
        formula="influence function / (||g_i|| ||g_j||)",
        paper="Hammoudeh and Lowd, CCS 2022",
        equation=f"{SURVEY}, equation 69, with the test norm that its text asks for",
        scale="ranking",
        needs="the final model",
        estimator=Estimator(name="renormalised_influence", curvature="ekfac", normalise="both", scale="ranking"),
    ),
)
TRAJECTORIES = (
    GradientMethod(
        name="gradient_dot",
        title="Gradient dot product at the final model",
        formula="g_i g_j",
        paper="Charpiat, Girard, Felardos and Tarabalka, NeurIPS 2019",
        equation="",
        scale="ranking",
        needs="the final model",
        estimator=Estimator(name="gradient_dot", weights="rate", scale="ranking"),
    ),
    GradientMethod(
        name="tracin",
        title="TracIn over the steps that saw the instance",
        formula="sum over steps with i in the batch of eta_t / b_t g_i g_j",
        paper="Pruthi, Liu, Kale and Sundararajan, NeurIPS 2020",
        equation=f"{SURVEY}, equation 55",
        scale="loss",
        needs="every step",
        estimator=Estimator(name="tracin", weights="batch"),
    ),
    GradientMethod(
        name="tracin_cp",
        title="TracInCP over checkpoints",
        formula="sum over checkpoints of eta_t g_i g_j",
        paper="Pruthi, Liu, Kale and Sundararajan, NeurIPS 2020",
        equation=f"{SURVEY}, equation 56",
        scale="ranking",
        needs="checkpoints",
        estimator=Estimator(name="tracin_cp", weights="rate", scale="ranking"),
    ),
    GradientMethod(
        name="tracin_expected",
        title="TracInCP in the loss's unit: checkpoints weighted by the visits they stand for",
        formula="sum over checkpoints of eta_t (steps_t / n) g_i g_j",
        paper="Pruthi, Liu, Kale and Sundararajan, NeurIPS 2020",
        equation=f"{SURVEY}, equations 55 and 56",
        scale="loss",
        needs="checkpoints",
        estimator=Estimator(name="tracin_expected", weights="visits"),
    ),
    GradientMethod(
        name="tracin_last",
        title="TracInCP of the last layer",
        formula="sum over checkpoints of eta_t (s_i s_j)(f_i f_j + 1)",
        paper="Pruthi, Liu, Kale and Sundararajan, NeurIPS 2020",
        equation=f"{SURVEY}, section 5.2.1.3",
        scale="ranking",
        needs="checkpoints",
        estimator=Estimator(name="tracin_last", weights="rate", scale="ranking"),
        layers="last",
    ),
    GradientMethod(
        name="tracin_rp",
        title="TracInCP of random projections",
        formula="sum over checkpoints of eta_t (R g_i)(R g_j); variance (|g_i|^2 |g_j|^2 + (g_i g_j)^2) / k each",
        paper="Pruthi, Liu, Kale and Sundararajan, NeurIPS 2020",
        equation=f"{SURVEY}, section 5.2.1.3",
        scale="ranking",
        needs="checkpoints",
        estimator=Estimator(
            name="tracin_rp", weights="rate", projection=Projection(kind="dense", dimensions=1024), scale="ranking"
        ),
    ),
    GradientMethod(
        name="tracin_we",
        title="TracInCP of word embeddings, the 10 strongest tokens of each instance",
        formula="sum over checkpoints and shared tokens w of eta_t E_i[w] E_j[w]",
        paper="Yeh, Taly, Sundararajan, Liu and Ravikumar, NeurIPS 2022",
        equation=f"{SURVEY}, section 5.2.1.3",
        scale="ranking",
        needs="checkpoints",
        estimator=Estimator(name="tracin_we", weights="rate", tokens=10, scale="ranking"),
        layers="embeddings",
    ),
    GradientMethod(
        name="gas",
        title="Gradient aggregated similarity",
        formula="sum over checkpoints of eta_t cos(g_i, g_j)",
        paper="Hammoudeh and Lowd, CCS 2022",
        equation=f"{SURVEY}, equation 68",
        scale="ranking",
        needs="checkpoints",
        estimator=Estimator(name="gas", weights="rate", normalise="both", scale="ranking"),
    ),
    GradientMethod(
        name="gas_l",
        title="Gradient aggregated similarity by layer",
        formula="sum over checkpoints and layers of eta_t cos(g_i of the layer, g_j of the layer)",
        paper="Hammoudeh and Lowd, CCS 2022",
        equation="",
        scale="ranking",
        needs="checkpoints",
        estimator=Estimator(name="gas_l", weights="rate", normalise="layers", scale="ranking"),
    ),
    GradientMethod(
        name="trak",
        title="TRAK",
        formula="mean of phi_j (Phi^T Phi)^-1 Phi^T times mean of (1 - p_i), phi = R grad log(p / (1 - p))",
        paper="Park, Georgiev, Ilyas, Leclerc and Madry, ICML 2023",
        equation="",
        scale="ranking",
        needs="several models",
        runner="trak",
    ),
)
