r"""Equations of papers on unrolled, iterative and multigrid networks, in the LaTeX in which such papers have them.

Numbers stand where they are known. What deviates from the print is said.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """An equation of a paper, what the network around it declares, and the same in plain spelling, if there is that."""

    source: str
    around: str
    latex: str
    plain: str | None = None

    def spec(self, equations: str) -> str:
        """The network with its equations in one spelling."""
        return f"{HEAD}{self.around.strip()}\n{equations.strip()}\n"


HEAD = "model Paper\ninput y : 2 × 8 × 8\noutput h : 3\n"

MGNET = r"""
let J = 2
levels ℓ = 1..J
let ν@ℓ = 2, 1
steps i = 1..ν
kernel θ : 3×3 → 4
kernel A^{\ell} : 3×3 → 4
kernel B^{\ell,i} : 3×3 → 4
kernel \Pi_\ell^{\ell+1} : 3×3 → 4
kernel R_\ell^{\ell+1} : 3×3 → 4
let σ = relu ∘ bn
f@1 = σ ∘ θ * y
u@1,0 = 0
h = linear ∘ avgpool(u^{J,\nu_J})
"""
UNROLLED = r"""
let K = 3
steps k = 0..K
kernel W : 3×3 → 4
kernel S : 3×3 → 4
kernel A : 3×3 → 2
kernel D^{(k)} : 3×3 → 4
let S_\theta = soft_threshold[0.1]
scalar ρ = 0.5
scalar \alpha_k = 0.1
let σ = relu
"""

CASES = {
    # Multigrid networks
    "mgnet_readme": Case(
        "MgNet, README of its authors' code",
        MGNET
        + r"""
u@ℓ+1,0 = Π@ℓ,ℓ+1 *_2 u@{ℓ,ν@ℓ}
f@ℓ+1 = R@ℓ,ℓ+1 *_2 (f@ℓ - A@ℓ * u@{ℓ,ν@ℓ}) + A@ℓ+1 * u@ℓ+1,0
""",
        r"""
u^{\ell,i} = u^{\ell,i-1} + \sigma \circ B^{\ell,i} \ast \sigma\left({f^\ell - A^\ell \ast u^{\ell,i-1}}\right).
""",
        r"u@ℓ,i = u@ℓ,i-1 + σ ∘ B@ℓ,i * σ(f@ℓ - A@ℓ * u@ℓ,i-1)",
    ),
    "mgnet_restriction": Case(
        "He, Xu, MgNet: A unified framework of multigrid and CNN (2019), Algorithm 3",
        MGNET
        + r"""
u@ℓ,i = u@ℓ,i-1 + σ ∘ B@ℓ,i * σ(f@ℓ - A@ℓ * u@ℓ,i-1)
""",
        r"""
\begin{align}
    u^{\ell+1,0} &= \Pi_\ell^{\ell+1} \ast_2 u^{\ell,\nu_\ell}, \\
    f^{\ell+1} &= R^{\ell+1}_\ell \ast_2 \big( f^\ell - A^{\ell} \ast u^{\ell,\nu_\ell} \big) \nonumber \\
        & \quad + A^{\ell+1} \ast u^{\ell+1,0}. \label{eq:restriction}
\end{align}
""",
        r"""
u@ℓ+1,0 = Π@ℓ,ℓ+1 *_2 u@{ℓ,ν@ℓ}
f@ℓ+1 = R@ℓ,ℓ+1 *_2 (f@ℓ - A@ℓ * u@{ℓ,ν@ℓ}) + A@ℓ+1 * u@ℓ+1,0
""",
    ),
    "mgnet_smoothing": Case(
        "He, Xu, Zhang, Zhu, the constrained linear model as an iteration",
        MGNET
        + r"""
u@ℓ+1,0 = Π@ℓ,ℓ+1 *_2 u@{ℓ,ν@ℓ}
f@ℓ+1 = R@ℓ,ℓ+1 *_2 (f@ℓ - A@ℓ * u@{ℓ,ν@ℓ}) + A@ℓ+1 * u@ℓ+1,0
""",
        r"""
\[ u^{\ell,i} \gets u^{\ell,i-1} + \sigma \circ B^{\ell,i} * \sigma \left[ f^{\ell} - A^{\ell} * u^{\ell,i-1} \right], \quad i = 1, 2, \cdots, \nu_\ell. \]
""",
        r"u@ℓ,i = u@ℓ,i-1 + σ ∘ B@ℓ,i * σ(f@ℓ - A@ℓ * u@ℓ,i-1) for i = 1..ν@ℓ",
    ),
    "full_approximation_scheme": Case(
        "Brandt, the full approximation scheme, with convolutions",
        MGNET
        + r"""
u@ℓ,i = u@ℓ,i-1 + σ ∘ B@ℓ,i * σ(f@ℓ - A@ℓ * u@ℓ,i-1)
u@ℓ+1,0 = Π@ℓ,ℓ+1 *_2 u@{ℓ,ν@ℓ}
""",
        r"""
f^{\ell+1} := {R}_{\ell}^{\ell+1} \circledast_2 \left. \left( f^{\ell} - A^{\ell} \circledast u^{\ell,\nu_\ell} \right) \right. + A^{\ell+1} \circledast u^{\ell+1,0} % coarse right-hand side
""",
        r"f@ℓ+1 = R@ℓ,ℓ+1 *_2 (f@ℓ - A@ℓ * u@{ℓ,ν@ℓ}) + A@ℓ+1 * u@ℓ+1,0",
    ),
    "correction_up": Case(
        "Briggs, Henson, McCormick, A Multigrid Tutorial, coarse-grid correction",
        r"""
steps n = 1..2
kernel e : 3×3 → 2
v@1 = y
h = linear ∘ avgpool(v@2)
""",
        r"v^{h} \leftarrow v^{h} + I_{2h}^{h} e^{2h}",
    ),
    "v_cycle_up": Case(
        "Multigrid in the form of a U-Net: prolongation of the correction",
        r"""
let J = 2
levels ℓ = 1..J
kernel P^{\ell} : 2×2 → 2
kernel R^{\ell} : 3×3 → 2
u@1 = y
u@ℓ+1 = R@ℓ *_2 u@ℓ
\bar{u}^{J} = u^J
h = linear ∘ avgpool(bar_u@1)
""",
        r"\bar{u}^{\ell} = u^{\ell} + P^{\ell} *^{2} \bar{u}^{\ell+1}, \qquad 1 \leq \ell < J",
        r"bar_u@ℓ = u@ℓ + P@ℓ *^2 bar_u@ℓ+1 for ℓ = 1..J-1",
    ),
    # Unrolled sparse coding
    "lista": Case(
        "Gregor, LeCun, Learning Fast Approximations of Sparse Coding (2010)",
        UNROLLED
        + r"""
h = linear ∘ avgpool(y)
""",
        r"Z(k+1) = h_{\theta}(W_e X + S Z(k)) \quad Z(0) = 0",
    ),
    "ista": Case(
        "Daubechies, Defrise, De Mol (2004), iterative soft-thresholding",
        UNROLLED
        + r"""
h = linear ∘ avgpool(x@K)
""",
        r"x^{k+1} = \mathcal{S}_{\lambda/L}\left( x^{k} + \frac{1}{L} A^{T} (y - A x^{k}) \right)",
    ),
    "convolutional_lista": Case(
        "Sreter, Giryes, Learned Convolutional Sparse Coding (2018)",
        UNROLLED
        + r"""
x@0 = 0
h = linear ∘ avgpool(x@K)
""",
        r"""
x_{k+1} = S_{\theta}\left( x_k + W \ast \left( y - A \ast x_k \right) \right), \; k = 0, 1, \dots, K-1.
""",
        r"x@k+1 = S_θ(x@k + W * (y - A * x@k)) for k = 0..K-1",
    ),
    "lista_matrices": Case(
        "Chen, Liu, Wang, Yin, Theoretical Linear Convergence of Unfolded ISTA (2018), with convolutions",
        UNROLLED
        + r"""
kernel W_1^{k} : 3×3 → 4
kernel W_2^{k} : 3×3, 4 → 4
x@0 = 0
h = linear ∘ avgpool(x@K)
""",
        r"x^{k+1} = S_\theta\bigl( W_1^k * y + W_2^k * x^k \bigr), \quad k = 0, 1, \ldots, K-1",
        r"x@k+1 = S_θ(W_1@k * y + W_2@k * x@k) for k = 0..K-1",
    ),
    "alista": Case(
        "Liu, Chen, Wang, Yin, ALISTA (2019)",
        UNROLLED
        + r"""
scalar \gamma^{(k)} = 1
let \eta = soft_threshold[0.1]
h = linear ∘ avgpool(x@K)
""",
        r"x^{(k+1)} = \eta_{\theta^{(k)}}\left( x^{(k)} - \gamma^{(k)} W^T (A x^{(k)} - y) \right)",
    ),
    "layered_thresholding": Case(
        "Papyan, Romano, Elad, CNNs analyzed via Convolutional Sparse Coding (2017)",
        r"""
steps i = 0..2
kernel \mathbf{D}_i : 3×3 → 4
let \mathcal{P} = soft_threshold[0.1]
h = linear ∘ avgpool(y)
""",
        r"""
\hat{\boldsymbol{\Gamma}}_i = \mathcal{P}_{\beta_i}\left( \mathbf{D}_i^T \hat{\boldsymbol{\Gamma}}_{i-1} \right)
""",
    ),
    "ista_net_gradient": Case(
        "Zhang, Ghanem, ISTA-Net (2018), r-module",
        UNROLLED
        + r"""
kernel \Phi : 3×3 → 2
x@0 = y
x@k = y
h = linear ∘ avgpool(x@K)
""",
        r"""
\mathbf{r}^{(k)} = \mathbf{x}^{(k-1)} - \rho^{(k)} \mathbf{\Phi}^{\top} (\mathbf{\Phi} \mathbf{x}^{(k-1)} - \mathbf{y})
""",
    ),
    "ista_net_proximal": Case(
        "Zhang, Ghanem, ISTA-Net+ (2018), x-module",
        r"""
let K = 2
steps k = 1..K
let \mathcal{D}^{(k)} = D@k *
let \mathcal{G}^{(k)} = G@k *
let \mathcal{H}^{(k)} = relu ∘ H@k *
let \widetilde{\mathcal{H}}^{(k)} = H@k * relu
let S = soft_threshold[0.01]
kernel D@k : 3×3 → 4
kernel G@k : 3×3 → 2
kernel H@k : 3×3 → 4
r@k = x@k-1
x@0 = y
h = linear ∘ avgpool(x@K)
""",
        r"""
\mathbf{x}^{(k)} = \mathbf{r}^{(k)} + \mathcal{G}^{(k)}\left(\widetilde{\mathcal{H}}^{(k)}\left(S\left(\mathcal{H}^{(k)}\left(\mathcal{D}^{(k)}(\mathbf{r}^{(k)})\right)\right)\right)\right)
""",
        r"x@k = r@k + 𝒢@k(tilde_ℋ@k(S(ℋ@k(𝒟@k(r@k)))))",
    ),
    # Splittings and learned reconstruction
    "admm_net_multiplier": Case(
        "Yang, Sun, Li, Xu, Deep ADMM-Net (2016), multiplier update layer",
        r"""
steps n = 1..2
scalar \eta^{(n)} = 1
β@0 = y
c@n = β@n-1
z@n = y
h = linear ∘ avgpool(β@2)
""",
        r"\beta^{(n)} = \beta^{(n-1)} + \eta^{(n)} \left( c^{(n)} - z^{(n)} \right)",
        "β@n = β@n-1 + η@n * (c@n - z@n)",
    ),
    "admm_net_multiplier_starred": Case(
        "the same, with a sign of multiplication",
        r"""
steps n = 1..2
scalar \eta^{(n)} = 1
β@0 = y
c@n = β@n-1
z@n = y
h = linear ∘ avgpool(β@2)
""",
        r"\beta^{(n)} = \beta^{(n-1)} + \eta^{(n)} \cdot \left( c^{(n)} - z^{(n)} \right)",
        r"β@n = β@n-1 + η@n * (c@n - z@n)",
    ),
    "admm": Case(
        "Boyd, Parikh, Chu, Peleato, Eckstein, ADMM in scaled form (2011), (3.5) to (3.7)",
        UNROLLED
        + r"""
h = linear ∘ avgpool(y)
""",
        r"""
\left\{
\begin{array}{rcl}
    x^{k+1} &=& \arg\min_x \left( f(x) + \frac{\rho}{2} \| A x + B z^k - c + u^k \|_2^2 \right) \\
    u^{k+1} &=& u^k + A x^{k+1} + B z^{k+1} - c
\end{array}
\right.
""",
    ),
    "learned_primal_dual": Case(
        "Adler, Öktem, Learned Primal-Dual Reconstruction (2018), Algorithm 3",
        r"""
steps i = 1..2
f@0 = 0
h = linear ∘ avgpool(y)
""",
        r"h_i \leftarrow \Gamma_{\theta_i^d} \left( h_{i-1}, \mathcal{K}(f_{i-1}^{(2)}), g \right)",
    ),
    "primal_dual": Case(
        "Chambolle, Pock (2011), extrapolation",
        r"""
steps n = 0..2
scalar θ = 1
let F = relu
x@0 = y
x@n+1 = F(x@n)
h = linear ∘ avgpool(bar_x@2)
""",
        r"\bar{x}^{n+1} = x^{n+1} + \theta \cdot \big(x^{n+1} - x^{n}\big) \, .",
        r"bar_x@n+1 = x@n+1 + θ * (x@n+1 - x@n)",
    ),
    "proximal_gradient": Case(
        "Parikh, Boyd, Proximal Algorithms (2014)",
        UNROLLED
        + r"""
h = linear ∘ avgpool(y)
""",
        r"x^{k+1} := \mathbf{prox}_{\lambda^k g}\left( x^k - \lambda^k \nabla f(x^k) \right)",
    ),
    "variational_network": Case(
        "Hammernik and others, Learning a Variational Network (2018)",
        UNROLLED
        + r"""
h = linear ∘ avgpool(y)
""",
        r"""
u^{t+1} = u^t - \sum_{i=1}^{N_k} (K_i^t)^\top \Phi_i^{t\prime}(K_i^t u^t) - \lambda^t A^*(A u^t - f), \quad 0 \le t \le T-1
""",
    ),
    "end_to_end_varnet": Case(
        "Sriram and others, End-to-End Variational Networks (2020), with signs of multiplication",
        r"""
let T = 2
scalar \eta^t = 1
steps t = 0..T
let M = sigmoid
let G = G_1 *
kernel G_1 : 3×3 → 2
k@0 = y
let m = 2
\tilde{k} = y
h = linear ∘ avgpool(k^T)
""",
        r"""
\mathbf{k}^{t+1} = \mathbf{k}^{t} - \eta^{t} \cdot M\left(\mathbf{k}^{t} - \tilde{\mathbf{k}}\right) + \mathrm{G}(\mathbf{k}^{t})
""",
        r"k@t+1 = k@t - η@t * M(k@t - tilde_k) + G(k@t)",
    ),
    "neumann_sum": Case(
        "Gilton, Ongie, Willett, Neumann Networks (2020)",
        r"""
let B = 3
steps j = 1..B
kernel R : 3×3 → 2
\tilde{\beta}^{(0)} = y
\tilde{\beta}^{(j)} = R * \tilde{\beta}^{(j-1)}
h = linear ∘ avgpool(hat_β)
""",
        r"\widehat{\beta} = \sum_{j=0}^{B} \tilde{\beta}^{(j)}",
        r"hat_β = sum(j = 0..B : tilde_β@j)",
    ),
    "neumann_block": Case(
        "Gilton, Ongie, Willett, Neumann Networks (2020)",
        UNROLLED
        + r"""
h = linear ∘ avgpool(y)
""",
        r"""
\tilde{\beta}^{(j)} = (I - \eta X^\top X) \tilde{\beta}^{(j-1)} - \eta R(\tilde{\beta}^{(j-1)})
""",
    ),
    "reaction_diffusion": Case(
        "Chen, Pock, Trainable Nonlinear Reaction Diffusion (2017), diffusion term",
        r"""
let N = 2
let T = 2
steps t = 1..T
let \phi_i^t = tanh
kernel k_i^t : 3×3 → 1
steps i = 1..N
kernel \bar{k}_i^t : 3×3 → 2
u@0 = y
h = linear ∘ avgpool(u_T)
""",
        r"u_t = u_{t-1} - \sum_{i=1}^{N} \bar{k}_i^t * \phi_i^t(k_i^t * u_{t-1})",
        r"u@t = u@t-1 - sum(i = 1..N : bar_k@i,t * φ@i,t(k@i,t * u@t-1))",
    ),
    # Equilibrium models
    "deep_equilibrium": Case(
        "Bai, Kolter, Koltun, Deep Equilibrium Models (2019), for one value",
        r"""
let L = 3
steps i = 0..L
let f_\theta = tanh ∘ K *
kernel K : 3×3 → 2
z@0 = y
h = linear ∘ avgpool(z@L)
""",
        r"\mathbf{z}^{[i+1]} = f_\theta(\mathbf{z}^{[i]}), \qquad i = 0, \ldots, L-1",
        r"z@i+1 = f_θ(z@i) for i = 0..L-1",
    ),
    "deep_equilibrium_sequence": Case(
        "Bai, Kolter, Koltun, Deep Equilibrium Models (2019)",
        UNROLLED
        + r"""
h = linear ∘ avgpool(y)
""",
        r"\mathbf{z}_{1:T}^{[i+1]} = f_\theta(\mathbf{z}_{1:T}^{[i]}; \mathbf{x}_{1:T})",
    ),
    "monotone_equilibrium": Case(
        "Winston, Kolter, Monotone operator equilibrium networks (2020)",
        r"""
let K = 2
steps k = 0..K
kernel W : 3×3 → 2
kernel U : 3×3 → 2
x@0 = y
let σ = relu
h = linear ∘ avgpool(x@K)
""",
        r"x^{k+1} = \sigma(Wx^k + Uy)",
    ),
    "anderson": Case(
        "Walker, Ni, Anderson Acceleration (2011)",
        UNROLLED
        + r"""
h = linear ∘ avgpool(y)
""",
        r"x_{k+1} = \sum_{i=0}^{m} \alpha_i^{(k)} f(x_{k-m+i})",
    ),
    # Momentum and Chebyshev
    "heavy_ball": Case(
        "Polyak's heavy ball",
        r"""
let K = 3
steps k = 1..K
kernel g_1 : 3×3 → 2
let g = g_1 *
scalar α = 0.1
scalar β = 0.9
x@0 = y
x@1 = y
h = linear ∘ avgpool(x@K)
""",
        r"""
x^{k+1} = x^{k} - \alpha \cdot g\big(x^{k}\big) + \beta \cdot \big(x^{k} - x^{k-1}\big), \qquad k \ge 1
""",
        r"x@k+1 = x@k - α * g(x@k) + β * (x@k - x@k-1) for k >= 1",
    ),
    "nesterov": Case(
        "Beck, Teboulle, FISTA (2009), (4.3)",
        r"""
let K = 3
steps k = 1..K
let t@k = (k+1)/2
let F = relu
x@0 = y
x@k = F(x@k-1)
h = linear ∘ avgpool(z@K)
""",
        r"z_{k+1} = x_k + \left( \frac{t_k - 1}{t_{k+1}} \right) (x_k - x_{k-1})",
        "z@k+1 = x@k + ((t@k - 1) / t@k+1) * (x@k - x@k-1)",
    ),
    "nesterov_starred": Case(
        "the same, with a sign of multiplication",
        r"""
let K = 3
steps k = 1..K
let t@k = (k+1)/2
let F = relu
x@0 = y
x@k = F(x@k-1)
h = linear ∘ avgpool(z@K)
""",
        r"z_{k+1} = x_k + \left( \frac{t_k - 1}{t_{k+1}} \right) \cdot (x_k - x_{k-1})",
        r"z@k+1 = x@k + ((t@k - 1) / t@k+1) * (x@k - x@k-1)",
    ),
    "chebyshev": Case(
        "Golub, Varga, Chebyshev semi-iterative method (1961)",
        r"""
let K = 3
steps k = 1..K
scalar \omega_k = 1
kernel A : 3×3 → 2
u@0 = 0
u@1 = y
h = linear ∘ avgpool(u_K)
""",
        r"""
u_{k+1} = \omega_{k+1} \cdot \left( {\bf r}_k + u_k - u_{k-1} \right) + u_{k-1}, \quad {\bf r}_k = y - A * u_k
""",
        r"""
u@k+1 = ω@k+1 * (r@k + u@k - u@k-1) + u@k-1
r@k = y - A * u@k
""",
    ),
    "momentum_residual_network": Case(
        "Sander, Ablin, Blondel, Peyré, Momentum Residual Neural Networks (2021)",
        r"""
let N = 2
steps n = 0..N
scalar γ = 0.9
let f@n = relu ∘ K@n *
kernel K@n : 3×3 → 2
x@0 = y
v@0 = 0
h = linear ∘ avgpool(x_N)
""",
        r"""
\begin{cases}
    v_{n+1} = \gamma \cdot v_n + f_n(x_n) \\
    x_{n+1} = x_n + v_{n+1}
\end{cases} \quad \forall n \in \{0, \dots, N-1\}.
""",
        r"""
v@n+1 = γ * v@n + f@n(x@n)
x@n+1 = x@n + v@n+1 for n = 0..N-1
""",
    ),
    # Networks as discretised flows
    "linear_multi_step": Case(
        "Lu, Zhong, Li, Dong, Beyond Finite Layer Neural Networks (2018), LM-ResNet",
        r"""
let N = 3
steps n = 1..N
let F@n = relu ∘ K@n *
kernel K@n : 3×3 → 2
x_0 = y
h = linear ∘ avgpool(x_N)
scalar k_n = 0.5
x@1 = y
""",
        r"x_{n+1} = (1 - k_n) x_n + k_n x_{n-1} + F_n(x_n)",
        "x@n+1 = (1 - k@n) * x@n + k@n * x@n-1 + F@n(x@n)",
    ),
    "residual_network": Case(
        "He, Zhang, Ren, Sun, Identity Mappings (2016), (3), with F_n for the weights",
        r"""
let N = 3
steps n = 0..N
let F@n = relu ∘ K@n *
kernel K@n : 3×3 → 2
x_0 = y
h = linear ∘ avgpool(x_N)
""",
        r"$$\mathbf{x}_{n+1} = \mathbf{x}_n + \mathrm{F}_{n}(\mathbf{x}_n), \tag{3}$$",
        r"x@n+1 = x@n + F@n(x@n)",
    ),
    "residual_network_weights": Case(
        "He, Zhang, Ren, Sun, Identity Mappings (2016), (3)",
        r"""
let N = 3
steps n = 0..N
let F@n = relu ∘ K@n *
kernel K@n : 3×3 → 2
x_0 = y
h = linear ∘ avgpool(x_N)
""",
        r"\mathbf{x}_{n+1} = \mathbf{x}_n + \mathcal{F}(\mathbf{x}_n, \mathcal{W}_n)",
    ),
    "recursive_sum": Case(
        "He, Zhang, Ren, Sun, Identity Mappings (2016), (4), from the first layer on",
        r"""
let L = 2
steps l_1 = 1..L
steps n = 0..L
let F@n = relu ∘ K@n *
kernel K@n : 3×3 → 2
x@0 = y
x@n+1 = x@n + F@n(x@n)
h = linear ∘ avgpool(z)
""",
        r"\mathbf{z} = \mathbf{x}_0 + \sum_{i=0}^{L-1} \mathrm{F}_i(\mathbf{x}_i) \,,",
        r"z = x@0 + sum(i = 0..L-1 : F@i(x@i))",
    ),
    "leapfrog": Case(
        "Haber, Ruthotto, Stable Architectures (2017), Verlet",
        r"""
steps j = 0..2
let h_1 = 0.1
h = linear ∘ avgpool(y)
""",
        r"Z_{j+\frac{1}{2}} = Z_{j-\frac{1}{2}} - h \sigma\left( K_j^\top Y_j + b_j \right)",
    ),
    "leapfrog_second_order": Case(
        "Chang and others, Reversible Architectures (2018), leapfrog, with signs of multiplication",
        r"""
let N = 3
steps j = 1..N
let τ = 0.1
kernel K_j : 3×3 → 2
let σ = tanh
\boldsymbol{Y}_0 = y
\boldsymbol{Y}_1 = y
h = linear ∘ avgpool(Y_N)
""",
        r"""
\boldsymbol{Y}_{j+1} = 2 \cdot \boldsymbol{Y}_j - \boldsymbol{Y}_{j-1} + {(\tau)}^{2} \cdot \sigma(\boldsymbol{K}_j * \boldsymbol{Y}_j), \quad j \in \{1, \dots, N-1\}
""",
        r"Y@j+1 = 2 * Y@j - Y@j-1 + (τ)^2 * σ(K@j * Y@j) for j = 1..N-1",
    ),
    "reversible_block": Case(
        "Gomez, Ren, Urtasun, Grosse, The Reversible Residual Network (2017)",
        r"""
let \mathcal{F} = tanh ∘ K *
let \mathcal{G} = sigmoid ∘ K *
kernel K : 3×3 → 2
x_1 = y
x_2 = y
h = linear ∘ avgpool(z_1 + z_2)
""",
        r"\begin{aligned} z_1 &= x_1 + \mathcal{F}(x_2) \\ z_2 &= x_2 + \mathcal{G}(z_1) \end{aligned}",
        r"""
z_1 = x_1 + ℱ(x_2)
z_2 = x_2 + 𝒢(z_1)
""",
    ),
    "rezero": Case(
        "Bachlechner and others, ReZero is All You Need (2021)",
        r"""
let N = 3
steps n = 0..N
let F@n = relu ∘ K@n *
kernel K@n : 3×3 → 2
x_0 = y
h = linear ∘ avgpool(x_N)
scalar \alpha_n = 0
""",
        r"x_{n+1} = x_n + \alpha_n F_n(x_n)",
        "x@n+1 = x@n + α@n * F@n(x@n)",
    ),
    "squeeze_and_excitation": Case(
        "Hu, Shen, Sun, Squeeze-and-Excitation Networks (2018), (3)",
        r"""
let σ = sigmoid
let δ = relu
let \mathbf{W}_1 = linear[2]
let \mathbf{W}_2 = linear[4]
z = avgpool(y)
h = linear(s)
""",
        r"\mathbf{s} = \sigma(\mathbf{W}_2\,\delta(\mathbf{W}_1\mathbf{z})).",
        r"s = σ(W_2 ∘ δ(W_1 ∘ z))",
    ),
    "densenet": Case(
        "Huang, Liu, van der Maaten, Weinberger, DenseNet (2017), (2)",
        r"""
let L = 2
levels ℓ = 1..L
x@0 = y
h = linear ∘ avgpool(y)
""",
        r"\mathbf{x}_\ell = H_\ell([\mathbf{x}_0, \mathbf{x}_1, \ldots, \mathbf{x}_{\ell-1}])",
    ),
    "fractal": Case(
        "Larsson, Maire, Shakhnarovich, FractalNet (2017)",
        r"""
levels C = 1..2
h = linear ∘ avgpool(y)
""",
        r"f_{C+1}(z) = \left[ (f_C \circ f_C)(z) \right] \oplus \left[ \mathrm{conv}(z) \right]",
    ),
    "recurrent_tanh": Case(
        "Elman, a recurrent state, with convolutions",
        r"""
let T = 2
steps t = 1..T
kernel W : 3×3 → 2
kernel U : 3×3 → 2
{\bf h}_0 = 0
h = linear ∘ avgpool({\bf h}_T)
""",
        r"""
{\bf h}_{t} = \tanh \Bigl( {\bm W} * {\bf h}_{t-1} + {\bm U} * {\bf y} \Bigr) \qquad \text{for } t = 1, \dots, T
""",
        r"h@t = tanh(W * h@t-1 + U * y) for t = 1..T",
    ),
    # With trained thresholds and functions of scalars
    "lista_trained_thresholds": Case(
        "Gregor, LeCun (2010), as libraries write it: a threshold for each step",
        UNROLLED
        + r"""
scalar \theta_k = 0.1
h = linear ∘ avgpool(z@K)
z@0 = 0
""",
        r"z^{(k+1)} = \mathrm{soft}_{threshold}[\theta_{k+1}]\left( W * y + S * z^{(k)} \right), \quad k = 0, 1, \dots, K-1",
        r"z@k+1 = soft_threshold[θ@k+1](W * y + S * z@k) for k = 0..K-1",
    ),
    "ista_with_a_trained_step": Case(
        "Unrolled ISTA whose step size is kept positive",
        UNROLLED
        + r"""
vector \lambda_k : 4 = 0.1
h = linear ∘ avgpool(x@K)
x@0 = 0
""",
        r"\mathbf{x}_{k} \gets \mathrm{soft}_{threshold}[\lambda_k]\Big( \mathbf{x}_{k-1} - \mathrm{softplus}(\alpha_k) \, A^{\top} * ( A * \mathbf{x}_{k-1} - y ) \Big), \quad k = 1, \dots, K",
        r"x@k = soft_threshold[λ@k](x@k-1 - softplus(α@k) * Aᵀ * (A * x@k-1 - y)) for k = 1..K",
    ),
    "heavy_ball_with_the_best_numbers": Case(
        "Polyak, the heavy ball method with the best numbers for a condition number κ",
        UNROLLED
        + r"""
let κ = 9
x@0 = y
x@1 = y
h = linear ∘ avgpool(x@K)
""",
        r"x^{k+1} = x^{k} - \left( \frac{2}{\sqrt{\kappa} + 1} \right)^2 A * x^{k} + \left( \frac{\sqrt{\kappa} - 1}{\sqrt{\kappa} + 1} \right)^2 ( x^{k} - x^{k-1} ), \qquad 1 \le k < K",
        r"x@k+1 = x@k - (2 / (sqrt(κ) + 1))^2 * A * x@k + ((sqrt(κ) - 1) / (sqrt(κ) + 1))^2 * (x@k - x@k-1) for k = 1..K-1",
    ),
    "projected_landweber": Case(
        "Landweber's iteration, projected onto what is not negative",
        UNROLLED
        + r"""
x@0 = y
h = linear ∘ avgpool(x@K)
""",
        r"x_{k+1} := \max\left( x_k + \alpha_{k+1} A^T * ( y - A * x_k ), 0 \right), \; k = 0, \dots, K-1.",
        r"x@k+1 = max(x@k + α@k+1 * Aᵀ * (y - A * x@k), 0) for k = 0..K-1",
    ),
    "box_constraints": Case(
        "Proximal gradients with box constraints",
        UNROLLED
        + r"""
x@0 = y
h = linear ∘ avgpool(x@K)
""",
        r"x^{(k)} = \min \left( \max \left( x^{(k-1)} - \rho A^\top * \left( A * x^{(k-1)} - y \right), 0 \right), 1 \right), \quad 1 \le k \le K",
        r"x@k = min(max(x@k-1 - ρ * Aᵀ * (A * x@k-1 - y), 0), 1) for k = 1..K",
    ),
    "exponential_integrator": Case(
        "An exponential integrator with a trained rate of decay",
        UNROLLED
        + r"""
kernel G_k : 3×3 → 2
x@0 = y
h = linear ∘ avgpool(x@K)
""",
        r"x_{k} = \exp(-\rho) x_{k-1} + \frac{1 - \exp(-\rho)}{\rho} \sigma(G_k * x_{k-1}), \qquad k = 1, 2, \dots, K",
        r"x@k = exp(-ρ) * x@k-1 + (1 - exp(-ρ)) / ρ * σ(G@k * x@k-1) for k = 1..K",
    ),
    "rotation": Case(
        "A Hamiltonian step by a rotation through a trained angle",
        UNROLLED
        + r"""
p@0 = y
q@0 = y
p@k = cos(ρ) * p@k-1 + sin(ρ) * q@k-1 for k = 1..K
h = linear ∘ avgpool(p@K + q@K)
""",
        r"\mathbf{q}_k = \cos(\rho) \mathbf{q}_{k-1} - \sin(\rho) \mathbf{p}_{k-1}, \quad k = 1, \dots, K",
        r"q@k = cos(ρ) * q@k-1 - sin(ρ) * p@k-1 for k = 1..K",
    ),
}
